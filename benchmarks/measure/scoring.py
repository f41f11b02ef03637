"""How fast predictions are scored: logits to counts beside other ways, and an evaluation beside its network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from PIL import Image

from benchmarks.cli.progress import Progress
from benchmarks.config.label_space import scoring
from benchmarks.config.sliding_window import sliding
from benchmarks.data.data_sets import items
from benchmarks.data.loader_workers import loader_workers
from benchmarks.evaluation.evaluator import SegmentationEvaluator, evaluate
from benchmarks.evaluation.inference import upsampled_classes
from benchmarks.measure.parts import Parts
from benchmarks.measure.spread import Spread
from benchmarks.measure.step_split import clock
from benchmarks.tools.replaced import replaced
from benchmarks.trained.server_files import LABEL_IDS
from datasets.batches.evaluation_set import EvaluationSet
from datasets.classes.label_space import CITYSCAPES
from datasets.classes.labels import IGNORE
from methods.networks import Segmentor

Row = dict[str, Any]
NETWORK, WHOLE = "network", "the rest"


def count_ways(
    cfg: CfgNode, folder: Path, rounds: int, device: torch.device, size: tuple[int, int] = (1024, 2048)
) -> list[Row]:
    """Label maps a second of one map of ``size`` (height, width) by each way to count, all of which must agree.

    Logits are of half the height and width, as the published sizes have them. ``folder``: where cityscapesscripts finds
    the two PNGs that it counts from.
    """
    scored = scoring(cfg)
    classes = len(scored.space.names)
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(classes, size[0] // 2, size[1] // 2, generator=draw).to(device)
    label = torch.randint(0, classes + 1, (size[0] // 16 + 1, size[1] // 16 + 1), generator=draw)
    label = label.repeat_interleave(16, 0).repeat_interleave(16, 1)[: size[0], : size[1]].to(torch.uint8)
    label[label == classes] = IGNORE
    found = upsampled_classes(logits, size)
    truth, predicted = label.numpy(), found.cpu().numpy()

    def counts(prediction: torch.Tensor) -> np.ndarray:
        evaluator = SegmentationEvaluator(scored)
        evaluator.process([{"label": label}], [{"classes": prediction}])
        return evaluator.confusion

    ways: dict[str, Callable[[], np.ndarray]] = {
        "logits to counts": lambda: counts(upsampled_classes(logits, size)),
        "classes to counts": lambda: counts(found),
        "classes to counts by numpy.bincount": lambda: by_bincount(truth, predicted, classes),
    }
    if scored.space == CITYSCAPES:
        ways["classes to counts by cityscapesscripts, from PNGs"] = by_cityscapesscripts(truth, predicted, folder)
    right = by_bincount(truth, predicted, classes)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    read = clock(device)
    with Progress("counting", rounds + 1, "rounds", stderr=True) as progress:
        for number in range(rounds + 1):
            for name, way in ways.items():
                started = read()
                made = way()
                if number:
                    seconds[name].append(read() - started)
                assert np.array_equal(made, right), name
            progress.advance()
    return [
        {
            "what": name,
            "size": f"{size[1]}x{size[0]}",
            "classes": classes,
            "maps_per_second": Spread.of(taken).per(1).as_json(),
        }
        for name, taken in seconds.items()
    ]


def by_bincount(label: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """(K, K) counts, rows label, as NumPy has them in one line; both (H, W), the label's 255 left out."""
    seen = label != IGNORE
    pairs = label[seen].astype(np.int64) * classes + prediction[seen]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def by_cityscapesscripts(label: np.ndarray, prediction: np.ndarray, folder: Path) -> Callable[[], np.ndarray]:
    """What counts the two maps as Cityscapes' own evaluation does, from PNGs of label ids in ``folder``."""
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as evaluation

    table = np.zeros(256, np.uint8)
    table[: len(LABEL_IDS)] = LABEL_IDS
    files = [str(folder / name) for name in ("prediction.png", "label.png")]
    for pixels, file in zip((prediction, label), files, strict=True):
        Image.fromarray(table[pixels]).save(file)
    settings = evaluation.args
    settings.evalInstLevelScore, settings.evalPixelAccuracy = False, False

    def count() -> np.ndarray:
        matrix = evaluation.generateMatrix(settings)
        evaluation.evaluatePair(*files, matrix, {}, {}, settings)
        ids = LABEL_IDS.astype(int)
        return np.asarray(matrix)[ids][:, ids].astype(np.int64)

    return count


def measure_evaluation(
    cfg: CfgNode,
    segmentor: Segmentor,
    root: Path,
    images: int,
    device: torch.device,
    times: int = 1,
) -> Row:
    """Seconds of the evaluation of the protocol's first ``images``, each so many ``times``, and those of the network.

    The network's own time is measured in a second pass, in which it waits for the device; the first says what a run
    pays.
    """
    found, resize = items(cfg, "VAL", root, labelled=True)[:images], tuple(cfg.TEST.RESIZE) or None
    dataset = EvaluationSet(found * times, resize)
    scored, windows, workers = scoring(cfg), sliding(cfg), loader_workers(cfg, device)

    def whole(chosen: EvaluationSet = dataset) -> None:
        evaluate(segmentor, chosen, scored, device, workers, windows)

    read = clock(device)
    with Progress("evaluating", 2, "passes", stderr=True) as progress:
        whole(EvaluationSet(found[:1], resize))  # kernels are chosen, memory is reserved
        started = read()
        whole()
        seconds = read() - started
        progress.advance()
        parts = Parts(read)
        with parts.part(WHOLE), _of_network(segmentor, parts):
            whole()
        progress.advance()
    network = parts.amounts[NETWORK]
    return {
        "images": len(dataset),
        "network": segmentor.name,
        "workers": workers,
        "seconds": seconds,
        "network_seconds": network,
        "to_network": seconds / network,
    }


@contextmanager
def _of_network(segmentor: Segmentor, parts: Parts) -> Iterator[None]:
    """Calls of encoder, decoder and attention within are of `NETWORK`."""
    with ExitStack() as stack:
        for module in segmentor.children():
            stack.enter_context(replaced(module, "forward", parts.wrapped(NETWORK, module.forward)))
        yield
