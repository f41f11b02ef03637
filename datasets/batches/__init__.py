"""From files to batches: augmented, sampled, paired and loaded, and the images that are scored on."""
