"""Measurements of this suite itself."""
