"""The training of one run: trainer, hooks, checkpoints, one process or several."""
