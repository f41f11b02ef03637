"""From a config to data sets and their images."""
