"""Which classes there are, and how data sets store them."""
