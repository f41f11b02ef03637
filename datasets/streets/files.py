"""The data set on disk: GTA's layout for the source domain, SYNTHIA's for a second one, Cityscapes' for the target."""

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from cityscapesscripts.helpers.labels import labels as cityscapes_labels
from PIL import Image

from datasets.base.end_with_parent import end_with_parent
from datasets.base.errors import DataError
from datasets.base.scratch import remove_leftovers, scratch_beside
from datasets.streets.canvas import LABEL_IDS, LICENSE_PLATE
from datasets.streets.scene import draw_scene
from datasets.streets.shading import shade
from datasets.streets.style import CONDITIONS, SOURCE, SYNTHIA, Style
from datasets.streets.synthia_label import write_label

VERSION = 1  # of the pictures: raise it whenever the same seed gives other bytes

Progress = Callable[[int, int], None]

OVERSAMPLE = 2  # scenes are drawn this much larger and reduced: the image is antialiased, the label is not
SMALLEST, LARGEST = (64, 32), (4096, 2048)
TRAIN_CITIES = ("streetsa", "streetsb", "streetsc", "streetsd")
VAL_CITIES = ("streetsv", "streetsw")
_SPLITS = ("source", "target", "val")
_SYNTHIA = len(_SPLITS)  # the split of the second source's images
_SYNTHIA_KEY = 1_000_000  # in place of the split in their keys: conditions of the target count up from 1
_CHUNK = 4  # images that a worker draws between two reports
_WORTH = 1.5  # seconds of drawing that are worth the start of one more process
_COMPRESSION = 6
# Strides of the sequences that spread rare things evenly over the images; irrational, so that they do not lock
_STRIDES = np.sqrt(np.array([2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37])) % 1


@dataclass(frozen=True)
class Spec:
    """What decides the bytes of a data set."""

    size: tuple[int, int]  # width, height in pixels
    source_images: int
    target_images: int
    val_images: int
    seed: int
    condition: str = "day"  # of the target domain
    synthia_images: int = 0  # of the second source

    def __post_init__(self) -> None:
        """Check the values. Raises DataError on one that cannot be drawn."""
        width, height = self.size
        if not (SMALLEST[0] <= width <= LARGEST[0] and SMALLEST[1] <= height <= LARGEST[1]):
            raise DataError(
                f"size {width}x{height}: expected WIDTHxHEIGHT in pixels between {SMALLEST[0]}x{SMALLEST[1]} "
                f"and {LARGEST[0]}x{LARGEST[1]}, such as 256x128"
            )
        for name in ("source_images", "target_images", "val_images"):
            count = getattr(self, name)
            if not 1 <= count <= 99_999:
                raise DataError(f"{name} {count}: expected a number of images between 1 and 99999")
        if not 0 <= self.synthia_images <= 99_999:
            raise DataError(f"synthia_images {self.synthia_images}: expected a number of images up to 99999")
        if self.seed < 0:
            raise DataError(f"seed {self.seed}: expected an integer that is not negative")
        if self.condition not in CONDITIONS:
            raise DataError(f"condition {self.condition}: expected {', '.join(CONDITIONS)}")

    @property
    def name(self) -> str:
        """A folder name that says everything, such as streets-v1-256x128-400-400-100-s0."""
        counts = f"{self.source_images}-{self.target_images}-{self.val_images}"
        condition = "" if self.condition == "day" else f"-{self.condition}"
        second = f"-synthia{self.synthia_images}" if self.synthia_images else ""
        return f"streets-v{VERSION}-{self.size[0]}x{self.size[1]}-{counts}-s{self.seed}{condition}{second}"

    def jobs(self) -> list[tuple[int, int]]:
        """(split, index) of every image."""
        counts = (self.source_images, self.target_images, self.val_images, self.synthia_images)
        return [(split, index) for split, count in enumerate(counts) for index in range(count)]

    def key(self, split: int, index: int) -> tuple[int, int, int]:
        """What decides an image. In another condition the target's images show other streets."""
        if split == _SYNTHIA:
            return self.seed, _SYNTHIA_KEY, index
        others = split and (len(_SPLITS) - 1) * list(CONDITIONS).index(self.condition)
        return self.seed, split + others, index


def write(
    out: Path,
    *,
    size: tuple[int, int] = (256, 128),
    source_images: int = 400,
    target_images: int = 400,
    val_images: int = 100,
    seed: int = 0,
    condition: str = "day",
    synthia_images: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Draws a data set into the folder `out`, which must be new or empty and which appears only when it is complete.

    size: (width, height) of the images in pixels. condition: that the target domain is seen in, "day", "night" or
    "rain"; the source is the same in all. synthia_images: of a second source, another town in another style, written as
    SYNTHIA's download is and with its 16 classes. workers: processes, by default one a CPU, or fewer where there is
    little to draw; images do not depend on it, nor on the numbers of images. progress: called with (images drawn,
    images in all).
    Raises DataError if an argument or the folder cannot be used.
    """
    spec = Spec(size, source_images, target_images, val_images, seed, condition, synthia_images)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists already, expected a new or an empty folder")
    _draw_and_rename(spec, out, workers, progress)


def cached(
    cache_dir: Path,
    *,
    size: tuple[int, int] = (256, 128),
    source_images: int = 400,
    target_images: int = 400,
    val_images: int = 100,
    seed: int = 0,
    condition: str = "day",
    synthia_images: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """The folder under `cache_dir` that holds this data set, drawn by `write` if it is not there.

    Its name tells the arguments and `VERSION`. A folder of that name is complete: drawing goes on under another name
    (beginning with a dot) and ends with a rename, so a drawing that was killed is not taken for a data set (the
    next one removes what it left), and of two processes that draw at once the first to end wins, and both return the
    same folder.
    """
    spec = Spec(size, source_images, target_images, val_images, seed, condition, synthia_images)
    out = cache_dir / spec.name
    if not out.is_dir():
        try:
            _draw_and_rename(spec, out, workers, progress)
        except DataError:
            if not out.is_dir():  # else another process was faster
                raise
    return out


def _draw_and_rename(spec: Spec, out: Path, workers: int | None, progress: Progress | None) -> None:
    if workers is not None and workers < 1:
        raise DataError(f"workers {workers}: expected at least 1")
    scratch = scratch_beside(out)
    remove_leftovers(out.parent)
    try:
        scratch.mkdir(parents=True)
        for done in _draw_all(spec, scratch, workers or _worth_starting(spec)):
            if progress is not None:
                progress(done, len(spec.jobs()))
        about = {"version": VERSION, **asdict(spec)}
        if spec.condition == "day":
            del about["condition"]  # the file of before there were others
        if not spec.synthia_images:
            del about["synthia_images"]
        (scratch / "streets.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        scratch.rename(out)
    except BrokenProcessPool as error:
        raise DataError(f"{out}: a drawing process died (out of memory?); try fewer workers") from error
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _worth_starting(spec: Spec) -> int:
    """Processes for a data set: of few small images the drawing takes less time than processes take to start."""
    seconds = len(spec.jobs()) * (0.1 + 1e-6 * spec.size[0] * spec.size[1])
    return max(1, min(_cpus(), int(seconds / _WORTH)))


def _cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _draw_all(spec: Spec, root: Path, workers: int) -> Iterator[int]:
    """Draws every image below `root`; yields how many are done."""
    for name in ("gta/images", "gta/labels"):
        (root / name).mkdir(parents=True)
    for split, cities in (("train", TRAIN_CITIES), ("val", VAL_CITIES)):
        for city in cities:
            (root / "cityscapes/leftImg8bit" / split / city).mkdir(parents=True)
            (root / "cityscapes/gtFine" / split / city).mkdir(parents=True)
    if spec.synthia_images:
        for name in ("synthia/RGB", "synthia/GT/LABELS"):
            (root / name).mkdir(parents=True)
    jobs = spec.jobs()
    chunks = [jobs[start : start + _CHUNK] for start in range(0, len(jobs), _CHUNK)]
    done = 0
    if min(workers, len(chunks)) == 1:
        for chunk in chunks:
            _draw_files(spec, root, chunk)
            done += len(chunk)
            yield done
        return
    # spawn, not fork: the calling process may hold threads (torch, BLAS) that a fork would not survive
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context, initializer=end_with_parent)
    try:
        futures = {pool.submit(_draw_files, spec, root, chunk): len(chunk) for chunk in chunks}
        for future in as_completed(futures):
            future.result()
            done += futures[future]
            yield done
    finally:
        pool.shutdown(cancel_futures=True)


def _draw_files(spec: Spec, root: Path, jobs: list[tuple[int, int]]) -> None:
    for split, index in jobs:
        style = {0: SOURCE, _SYNTHIA: SYNTHIA}.get(split, CONDITIONS[spec.condition])
        image, label = draw_pair(style, spec.size, spec.key(split, index))
        image_path, label_path = _paths(root, split, index)
        Image.fromarray(image).save(image_path, format="PNG", compress_level=_COMPRESSION)
        if split == _SYNTHIA:
            write_label(label_path, label)
            continue
        if split == 0:
            picture = Image.fromarray(label)
            picture.putpalette(_gta_palette())
        else:  # Cityscapes' id of a licence plate is -1: its labels show the car behind it
            picture = Image.fromarray(np.where(label == LICENSE_PLATE, LABEL_IDS["car"], label).astype(np.uint8))
        picture.save(label_path, format="PNG", compress_level=_COMPRESSION)


def draw_pair(style: Style, size: tuple[int, int], key: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """One image, uint8 RGB (H, W, 3), and its label ids, uint8 (H, W), for the key (seed, split, index)."""
    rng = np.random.default_rng(key)
    width, height = size
    canvas, camera = draw_scene(style, rng, OVERSAMPLE * width, OVERSAMPLE * height, guests(style, *key))
    canvas, camera = canvas.reduced(OVERSAMPLE), camera.reduced(OVERSAMPLE)
    return shade(canvas, camera, style, rng), canvas.label


def guests(style: Style, seed: int, split: int, index: int) -> frozenset[str]:
    """The rare things that image `index` shows for sure.

    Their shares (`Style.guests`) are met by low-discrepancy sequences instead of independent draws, so that a hundred
    validation images cannot happen to lack a class.
    """
    names = list(style.guests)
    starts = np.random.default_rng((seed, split)).random(len(names))
    phases = (starts + index * _STRIDES[: len(names)]) % 1
    return frozenset(name for name, phase in zip(names, phases, strict=True) if phase < style.guests[name])


def _paths(root: Path, split: int, index: int) -> tuple[Path, Path]:
    """The paths of the image and its label."""
    if split == 0:
        return root / f"gta/images/{index + 1:05d}.png", root / f"gta/labels/{index + 1:05d}.png"
    if split == _SYNTHIA:
        return root / f"synthia/RGB/{index:07d}.png", root / f"synthia/GT/LABELS/{index:07d}.png"
    folder, cities = ("train", TRAIN_CITIES) if split == 1 else ("val", VAL_CITIES)
    city = cities[index % len(cities)]
    stem = f"{city}_{index // len(cities):06d}_000019"
    base = root / "cityscapes"
    return (
        base / "leftImg8bit" / folder / city / f"{stem}_leftImg8bit.png",
        base / "gtFine" / folder / city / f"{stem}_gtFine_labelIds.png",
    )


def _gta_palette() -> list[int]:
    """The 256 RGB colours of a label's palette: those of Cityscapes, and 34 for licence plates."""
    palette = np.zeros((256, 3), np.uint8)
    for label in cityscapes_labels:
        palette[LABEL_IDS[label.name] if label.id >= 0 else LICENSE_PLATE] = label.color
    return palette.ravel().tolist()
