"""Statistics of comparisons: paired by seed, with intervals; by image and seed where counts are kept."""
