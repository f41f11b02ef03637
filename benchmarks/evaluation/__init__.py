"""Scores of a network: inference, confusion, and what can be measured without target labels."""
