"""Where runs run: this process, processes of this machine, jobs of SLURM; one process or several for a run."""
