"""Jobs of SLURM: profiles, submission, and what is asked of the scheduler."""
