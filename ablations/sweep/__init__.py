"""Grids of settings: from YAML to runs, and to the table of all."""
