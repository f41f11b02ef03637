"""From a spec to a config: keys, protocols, overrides, checks, and the id of a run."""
