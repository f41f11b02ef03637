"""What networks are made of: norms, depthwise convolutions, activation checkpointing."""
