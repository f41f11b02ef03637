"""What all of this folder stands on: errors, outcomes, pools of jobs, private folders."""
