"""All files of a data set, looked at before they are learned from: formats, sizes, and the pixels of each class."""
