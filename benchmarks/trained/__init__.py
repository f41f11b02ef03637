"""Runs that are over: opened, evaluated again, exported, used for prediction."""
