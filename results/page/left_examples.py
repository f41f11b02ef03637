"""What the runs of rows left to be looked at: labelled images with a prediction, and the scores of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from results.files.errors import ResultsError
from results.records.examples import IGNORED, examples_folder, read_examples
from results.records.image_counts import read_counts, sparse_counts
from results.statistics.bootstrap import miou, sides
from results.tables.rows import Row

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class Predicted:
    """An image (H, W, 3) with its label and a row's prediction, both (H, W) train ids; ``index``: among all images."""

    index: int
    image: np.ndarray
    label: np.ndarray
    prediction: np.ndarray


@dataclass(frozen=True, eq=False)
class LeftExamples:
    """What one run of a row left: images by name, and the counts (N, K²) of all N validation images, if any."""

    row: Row
    seed: int
    classes: Sequence[str]
    colors: Sequence[tuple[int, int, int]]
    images: Mapping[str, Predicted]
    counts: csr_array | None

    def scores(self, counted: bool) -> dict[str, tuple[float, float]]:
        """mIoU, over the classes that it has, and the share of right pixels of each image, in percent.

        ``counted``: of its counts at full size; else of the small picture.
        """
        import numpy as np

        there = self.images.values()
        if counted and self.counts is not None:
            of_images = sides(self.counts[[each.index for each in there]])
        else:
            of_images = sides(sparse_counts([_confusion(each, len(self.classes)) for each in there]))
        hits, labelled = of_images[..., 0].sum(axis=1), of_images[..., 1].sum(axis=1)
        right = 100 * hits / np.maximum(labelled, 1)
        return dict(zip(self.images, zip(miou(of_images).tolist(), right.tolist(), strict=True), strict=True))


def left_examples(rows: Sequence[Row], model: str, say: Callable[[str], None]) -> list[LeftExamples]:
    """What rows left: the run of the lowest seed of which all left any, or else of the lowest of each.

    Rows that left none are not in it; ``say`` gets a line for what is damaged.
    """
    of_rows = [(row, folders) for row in rows if (folders := _folders(row))]
    common = set.intersection(*(set(folders) for _, folders in of_rows)) if of_rows else set()
    found = []
    for row, folders in of_rows:
        seed = min(common or folders)
        try:
            examples = read_examples(folders[seed])
        except ResultsError as error:
            say(f"no pictures of {row.label}: {error}")
            continue
        if examples is None:
            continue
        for line in examples.left_out:
            say(f"left out: {line}")
        images = {
            each.name: Predicted(each.index, each.image, each.label, each.predictions[model])
            for each in examples.images
            if each.label is not None and (each.label != IGNORED).any() and model in each.predictions
        }
        if images:
            most = max(each.index for each in images.values())
            counts = _counts(folders[seed], model, len(examples.classes), most)
            found.append(LeftExamples(row, seed, examples.classes, examples.colors, images, counts))
    return found


def _folders(row: Row) -> dict[int, Path]:
    """The folders of a row's finished runs that left examples, by seed."""
    done = row.finished
    folders = {int(seed): Path(folder) for seed, folder in zip(done["seed"], done["folder"], strict=True)}
    return {seed: folder for seed, folder in folders.items() if examples_folder(folder).is_dir()}


def _counts(folder: Path, model: str, classes: int, most: int) -> csr_array | None:
    """The counts of a run, if it left those of ``classes`` classes and of image number ``most``."""
    try:
        counts = read_counts(folder, model)
    except ResultsError:  # the main table has said so
        return None
    return counts if counts is not None and counts.shape[1] == classes**2 and most < counts.shape[0] else None


def _confusion(each: Predicted, classes: int) -> np.ndarray:
    import numpy as np

    known = each.label != IGNORED
    cells = each.label[known].astype(np.int64) * classes + each.prediction[known]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)
