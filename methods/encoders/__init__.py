"""The encoders E: from images to features of several strides."""
