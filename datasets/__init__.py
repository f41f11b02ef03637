"""What is learned from: data sets read in their original form, augmented and paired into batches.

`layouts` and `catalog` register a downloaded data set with detectron2, `reading` decodes its images and labels,
`augmentation` and `pairs` make training batches, `evaluation_set` serves the images that a run is scored on.
Every label that leaves this package is a Cityscapes train id, 0..18, or 255 where it is ignored (`labels`).
"""
