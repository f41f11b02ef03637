"""What a training step costs: counted and timed."""
