"""Processes of this machine, and those that do one job together."""
