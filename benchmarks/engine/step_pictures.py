"""Pictures of a training step: what the networks are given, what the method makes of it, and what they predict."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from detectron2.engine import HookBase
from detectron2.utils import comm
from PIL import Image, ImageDraw

from benchmarks.engine.trainer import Trainer
from benchmarks.evaluation.evaluator import eval_mode
from benchmarks.evaluation.inference import predict_logits
from datasets.batches.pairs import Batch
from datasets.classes.label_space import LabelSpace
from datasets.classes.labels import IGNORE
from methods.framework.step import TrainingStep
from methods.framework.term import Pictures
from results.files.plain_file import replacing
from results.records.examples import STEP, make_examples_folder

NAME, ACCURACY = "step", "pseudo_label_accuracy"
ROWS = 4  # images of the batch that are drawn
_SIDE, _MARGIN, _CAPTION = 256, 4, 24  # pixels: of a tile's longer side, around it, and above it
_WRONG = (0.85, 0.1, 0.1)  # colour of errors


class StepPictures(HookBase):
    """Draws every so manieth step before it is made, from its batch, which is computed once more.

    So the step itself is as without: what is drawn at random is a function of the iteration, and all that computing
    changes is put back (`Trainer.aside`). TensorBoard shows each picture, the run folder keeps the last.

    Where target labels are at hand it measures the pseudo-labels against them, too; nothing is learned from that.
    """

    trainer: Trainer

    def __init__(
        self,
        period: int,
        folder: Path,
        batch_of: Callable[[int], Batch],
        labels_of: Callable[[int], torch.Tensor | None],
        space: LabelSpace,
        labelled: str = "source",
    ) -> None:
        """Draw each ``period``-th step, of which ``batch_of(iteration)`` gives the batch.

        ``labels_of``: the labels (B, H, W) uint8 of its target images, or None where they are not at hand.
        ``labelled``: the domain of the labelled batch, "target" of an oracle.
        """
        self._labelled = labelled
        self._period, self._folder, self._space = period, folder, space
        self._batch_of, self._labels_of = batch_of, labels_of

    def before_step(self) -> None:
        trainer = self.trainer
        if not is_drawn(self._period, trainer.iter):
            return
        with trainer.aside():
            step = trainer.training_step(self._batch_of(trainer.iter))
            label = None if step.target_images is None else self._labels_of(trainer.iter)
            if label is not None:
                label = label.to(trainer.device).long()
            pictures = self._pictures(step, label)
            accuracy = None if step.teacher is None else _accuracy(step.pseudo.labels, label)
        if accuracy is not None:
            trainer.storage.put_scalar(ACCURACY, accuracy, smoothing_hint=False)
        if comm.is_main_process():
            drawn = sheet(pictures, self._space)
            trainer.storage.put_image(NAME, np.asarray(drawn).transpose(2, 0, 1))
            file = io.BytesIO()
            drawn.save(file, "PNG")
            with replacing(make_examples_folder(self._folder) / STEP) as kept:
                kept.write(file.getvalue())

    def _pictures(self, step: TrainingStep, label: torch.Tensor | None) -> Pictures:
        source, student = step.source_batch, self.trainer.student
        pictures: Pictures = {f"{self._labelled} image": source.images, f"{self._labelled} label": source.labels}
        images, truth = source.images, source.labels if step.target_images is None else label
        if step.target_images is not None:
            images = pictures["target image"] = step.plain_target
            if label is not None:
                pictures["target label"] = label
            if step.teacher is not None:
                pictures["teacher's label"] = step.pseudo.labels
        pictures |= self.trainer.pictures(step)
        with eval_mode(student):
            size = (images.shape[-2], images.shape[-1])
            prediction = predict_logits(student, images, size, None).argmax(dim=1)
        pictures["student's prediction"] = prediction
        if truth is not None:
            pictures["its errors"] = _errors(images, prediction, truth)
        return pictures


def is_drawn(period: int, iteration: int) -> bool:
    """Whether the step of an iteration, which counts from 0, is drawn; ``period`` 0: none is."""
    return period > 0 and (iteration + 1) % period == 0


def _errors(images: torch.Tensor, prediction: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The images (B, 3, H, W), pale and grey, with errors in red and black where no label is."""
    pale = (images.float().mean(dim=1, keepdim=True) / 2 + 0.5).expand_as(images)
    red = torch.tensor(_WRONG, device=images.device).view(1, 3, 1, 1)
    shown = torch.where((prediction != truth)[:, None], red, pale)
    return torch.where((truth == IGNORE)[:, None], 0.0, shown)


def _accuracy(pseudo: torch.Tensor, label: torch.Tensor | None) -> float | None:
    """Share of the labelled pixels of all processes whose pseudo-label is right; None where none is labelled."""
    counted = (0, 0)  # also of a process that has no labels: the others wait for its counts
    if label is not None:
        known = label != IGNORE
        counted = int((pseudo == label)[known].sum()), int(known.sum())
    counts = comm.all_gather(counted)
    right, labelled = (sum(count) for count in zip(*counts, strict=True))
    return right / labelled if labelled else None


def sheet(pictures: Mapping[str, torch.Tensor], space: LabelSpace) -> Image.Image:
    """A row for each of the first ROWS images of the batch, a captioned column for each of the ``pictures``."""
    columns = {name: [_tile(each, space) for each in maps[:ROWS].cpu()] for name, maps in pictures.items()}
    width, height = next(iter(columns.values()))[0].size
    rows = max(map(len, columns.values()))
    size = (len(columns) * (width + _MARGIN) + _MARGIN, rows * (height + _MARGIN) + _CAPTION + _MARGIN)
    drawn = Image.new("RGB", size, "white")
    for column, (name, tiles) in enumerate(columns.items()):
        left = _MARGIN + column * (width + _MARGIN)
        ImageDraw.Draw(drawn).text((left, 2), name, fill="black", font_size=18)
        for row, tile in enumerate(tiles):
            drawn.paste(tile, (left, _CAPTION + _MARGIN + row * (height + _MARGIN)))
    return drawn


def _tile(picture: torch.Tensor, space: LabelSpace) -> Image.Image:
    """One picture in colours, its longer side _SIDE pixels long."""
    if picture.dim() == 3:
        pixels, method = (picture.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0), Image.Resampling.BILINEAR
    else:
        table = torch.zeros(256, 3, dtype=torch.uint8)
        table[: len(space.colours)] = torch.tensor(space.colours, dtype=torch.uint8)
        pixels, method = table[picture.long()], Image.Resampling.NEAREST
    scale = _SIDE / max(pixels.shape[:2])
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return Image.fromarray(pixels.numpy()).resize(size, method)
