"""Importing this module registers every method that ships; a new one is a file of its own and a line here."""

from methods import dacs, daformer, feature_distance, hrda, mic, mixup, mrm, mrm_input, supervised

__all__ = ["dacs", "daformer", "feature_distance", "hrda", "mic", "mixup", "mrm", "mrm_input", "supervised"]
