"""What a run folder says of its run: locks, outcomes, submissions, and where the code came from."""
