"""What users see and say: options, progress, lists."""
