"""What all of this folder stands on: its error, keyed randomness, framing, scratch files, workers' end."""
