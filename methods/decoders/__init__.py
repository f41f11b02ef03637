"""The decoders D: from features to logits."""
