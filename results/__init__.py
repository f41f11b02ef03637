"""What was measured: run records, read back through pandas into tables."""

from results.collect import collect

__all__ = ["collect"]
