"""What is learned from: data sets read in their original form, augmented and paired into batches.

`layouts` (downloads), `folders` and `registered` (own data) find the files, `catalog` registers them with detectron2,
`label_space` names the classes, `labels` says how files store them, `reading` decodes images and labels, `framing` says
what is seen of an image, `augmentation` and `pairs` make training batches, `evaluation_set` serves the images that a
run is scored on.
Every label that leaves this package is a train id, a place in the label space (0..18 in that of Cityscapes), or 255
where it is ignored.
"""
