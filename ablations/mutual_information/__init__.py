"""What a trained encoder keeps: information about labels and pixels, under masks too, estimated with known bias."""
