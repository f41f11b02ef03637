"""What is learned from: data sets read in their original form, augmented and paired into batches.

`base` is what all stand on, `classes` names classes and says how files store them, `files` decodes images and labels,
`checks` looks at all files of a set, `sets` finds them (downloads, own data) and registers them with detectron2,
`batches` makes training batches and serves the images that a run is scored on. `streets` draws the embedded benchmark.
Every label that leaves this package is a train id, a place in the label space (0..18 in that of Cityscapes), or 255
where it is ignored.
"""
