"""Importing this module registers every method that ships; a new one is a file of its own and a line here."""

from methods import dacs, mic, mrm, supervised

__all__ = ["dacs", "mic", "mrm", "supervised"]
