"""Where runs run: today in this process."""
