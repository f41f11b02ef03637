"""Weights that others have trained: which are published, where they lie, and how their files are read safely."""
