"""Reading and writing files that may come from anybody."""
