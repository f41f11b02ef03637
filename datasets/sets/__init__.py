"""Where data sets keep their files: downloads, a user's folders, what detectron2 has registered."""
