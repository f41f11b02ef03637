"""What all of this folder stands on: errors, outcomes, private folders."""
