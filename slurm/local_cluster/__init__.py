"""A real SLURM on this machine, for trying profiles and for the tests."""
