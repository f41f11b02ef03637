"""Ablations: grids of runs, the search of settings, and what a method costs to compute."""
