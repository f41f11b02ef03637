"""What all of this folder stands on: errors, ranges of settings, randomness."""
