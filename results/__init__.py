"""What was measured: run records, read back through pandas into tables."""
