"""Every config key of segshift, in one function, as a detectron2 CfgNode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, asdict
from functools import cache, lru_cache
from typing import Any, get_type_hints

from detectron2.config import CfgNode as CN

from benchmarks.config.ranges import amount, pixels_at, several, size, workers
from methods.base.ranges import Range, above_zero, at_least_one, at_least_zero, choice, ranges_of, share, within
from methods.framework.shipped import import_methods
from methods.framework.step import SelfTraining
from methods.framework.term import TERMS
from methods.networks.multi_resolution import MultiResolution
from methods.networks.segmentor import LEAST_SIDE

import_methods()  # whose settings become keys

WRITERS = ("wandb", "mlflow")
"""Packages that a run can write to, none of which it needs."""

SOURCES = ("SOURCE", "SOURCE_2", "SOURCE_3", "SOURCE_4", "SOURCE_5")
TARGETS = ("TARGET", "TARGET_2", "TARGET_3")
"""Sections of DATA for the data sets that are learned from; a list of several fills them in order (`data_lists`)."""

ROLES = (*SOURCES, *TARGETS, "VAL")

# Keys that say where and how a run runs, not what it computes: they are left out of the run's id.
PLACE_KEYS = (
    "PROTOCOL_FILE",
    "DATA.ROOT",
    "DATA.CACHE_RESIZED",
    "DEVICE",
    "NUM_WORKERS",
    "CHECKPOINT_PERIOD",
    "LOG.PERIOD",
    "LOG.IMAGES",
    "LOG.WRITERS",
    "SOLVER.ACTIVATION_CHECKPOINTING",
    "SOLVER.DETERMINISTIC",
    "SOLVER.GRAPHS",
    "TEST.ALSO",
    "TEST.METRICS",
)


SET_ELSEWHERE = {
    "PROTOCOL": "--protocol",
    "PROTOCOL_FILE": "--protocol",
    "METHOD": "--methods",
    "SEED": "--seeds",
    "DESCRIPTION": "the protocol's file",
    "DATA.STREETS.VERSION": "the code that draws",
    "NUMERICS": "the code of the methods",
    "PLUGINS": "--plugin",
}
"""Keys that are not set as KEY VALUE, and what sets them."""


def get_config() -> CN:
    """The defaults: the published settings of DACS (DAFormer's baseline) with a 512 x 512 crop.

    Protocols (``benchmarks/protocols/*.yaml``), recipes and ``KEY VALUE`` pairs change them, in this order; what a
    recipe makes of DATA it makes of the pairs' too.
    """
    return _without_ranges(_declared_with(tuple(TERMS.items())))


@lru_cache(maxsize=2)  # a grid of a hundred runs asks a thousand times
def _declared_with(terms: tuple[tuple[str, type], ...]) -> _Section:
    """Return what `declared` does; ``terms``: those that are registered by now, whose settings are keys."""
    return declared()


def _without_ranges(section: CN) -> CN:
    """The same keys in nodes that can be pickled; made so and not by ``CN(section)``, which copies all values twice."""
    node = CN()
    for name, value in section.items():
        node[name] = _without_ranges(value) if isinstance(value, CN) else value
    return node


def ranges() -> dict[str, Range]:
    """The ranges of keys that may not have any value of their type; settings of methods have theirs at their fields."""
    fields = {f"{section}.{name.upper()}": each for section, cls in sections() for name, each in ranges_of(cls).items()}
    return _own_ranges() | fields


@cache
def _own_ranges() -> dict[str, Range]:
    return declared().flat_ranges()


class _Section(CN):
    """A section of the config in which a key can be set to a default with its range (methods/base/ranges.py)."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Field):
            self.__dict__.setdefault("_ranges", {})[name] = value.metadata["range"]
            value = value.default
        super().__setattr__(name, value)

    def flat_ranges(self) -> dict[str, Range]:
        """The ranges of a node's keys and of those in its sections, by dotted name."""
        found = dict(self.__dict__.get("_ranges", {}))
        for name, node in self.items():
            if isinstance(node, _Section):
                found |= {f"{name}.{key}": each for key, each in node.flat_ranges().items()}
        return found


def declared() -> _Section:
    """All keys, each with its default, its range and its meaning."""
    cfg = _Section()
    cfg.PROTOCOL = ""  # name of the protocol file
    cfg.PROTOCOL_FILE = ""  # path of the protocol file, where it is none that ships
    cfg.DESCRIPTION = ""  # what the protocol is, one line
    cfg.METHOD = ""  # the recipe: a host, then add-ons, as "dacs+mrm"
    cfg.NETWORK = ""  # name of the network; the protocol sets a default
    # What the encoder starts from: a known name, a path, hf:owner/name@revision on the Hugging Face hub
    # (docs/share.md), or "none" for random numbers.
    cfg.WEIGHTS = "imagenet"
    cfg.SEED = at_least_zero(0)  # decides initialization, data order, augmentation, masks: everything drawn

    # Terms of the run whose losses a mend changed, each with its ``Term.numerics``, as "mrm 2"; filled in: a run
    # from before the mend is another run.
    cfg.NUMERICS = ()
    # Digests of the plug-ins that registered the method, a term of it or the network; filled in.
    cfg.PLUGINS = ()

    # Where images come from, and their classes.
    cfg.DATA = _Section()
    cfg.DATA.CLASSES = ()  # names of the classes, in the order of their train ids; empty: the 19 of Cityscapes
    cfg.DATA.COLOURS = ()  # colours of CLASSES in label maps, as "#rrggbb"; empty: chosen
    cfg.DATA.THINGS = ()  # which of CLASSES are countable objects (DAFormer's feature distance)
    cfg.DATA.MODULE = ""  # Python module, or file beside the protocol's, that registers data sets with detectron2
    # Rows at the top and the bottom of a target image, at the protocol's size, that show rectification artefacts or the
    # car itself: methods of DAFormer's family trust no pseudo-labels there.
    cfg.DATA.IGNORED_ROWS = pixels_at("top", "bottom")
    # Whether images and labels are kept on disk as they are after resizing, below $SEGSHIFT_CACHE (~/.cache/segshift):
    # the same batches, of which a core loads several times as many; --cache-resized sets it, and the log says how much
    # room they take.
    cfg.DATA.CACHE_RESIZED = False
    # The folder that each FOLDER is below; empty: $DETECTRON2_DATASETS, or the folder of PROTOCOL_FILE.
    cfg.DATA.ROOT = ""
    # Labelled training images; of several data sets, which a list names (docs/data_sets.md), the others are
    # SOURCE_2 to SOURCE_5, with the same keys.
    cfg.DATA.SOURCE = _learned()
    # Training images; their labels are read for target-only and LABELLED_TARGET alone. Of several, the others are
    # TARGET_2 and TARGET_3.
    cfg.DATA.TARGET = _target()
    cfg.DATA.VAL = _data_set()  # what mIoU is measured on
    for name in SOURCES[1:]:
        cfg.DATA[name] = _learned()
    for name in TARGETS[1:]:
        cfg.DATA[name] = _target()
    # How many images of TARGET are learned from with their labels, by a method with semi, or in place of all by
    # target-only: a share as 1/16, rounded up, or a number. A smaller one's are the first of a larger one's.
    cfg.DATA.LABELLED_TARGET = amount()
    cfg.DATA.LABELLED_SEED = at_least_zero(0)  # decides which these are; the run's own seed does not
    # The embedded benchmark: drawn and cached where SOURCE_IMAGES is set, instead of read below ROOT.
    cfg.DATA.STREETS = _Section()
    cfg.DATA.STREETS.SIZE = size((256, 128))  # of the drawn images: width, height in pixels
    cfg.DATA.STREETS.SOURCE_IMAGES = at_least_zero(0)  # how many source images are drawn; 0: not the embedded benchmark
    # How many images of a second source are drawn, another town in SYNTHIA's form and classes; 0: none.
    cfg.DATA.STREETS.SYNTHIA_IMAGES = at_least_zero(0)
    cfg.DATA.STREETS.TARGET_IMAGES = at_least_zero(0)  # how many training images of the target are drawn
    cfg.DATA.STREETS.VAL_IMAGES = at_least_zero(0)  # how many images are drawn to measure mIoU on
    # In which the target is seen: an overcast day, or at night or in rain, in other streets of the same town.
    cfg.DATA.STREETS.CONDITION = choice("day", "night", "rain")
    cfg.DATA.STREETS.SEED = at_least_zero(0)  # decides what is drawn; the run's own seed does not
    cfg.DATA.STREETS.VERSION = 0  # version of the drawing code; filled in, so that the run's id depends on it

    # How a training image becomes a crop. Sizes are (width, height) in pixels.
    cfg.INPUT = _Section()
    cfg.INPUT.CROP = size((512, 512), LEAST_SIDE)  # size of training crops, of both domains
    cfg.INPUT.FLIP = share(0.5)  # probability of a horizontal flip
    # Source images are scaled, aspect kept, to the largest size that fits; empty: as is.
    cfg.INPUT.SOURCE_RESIZE = size(())
    cfg.INPUT.TARGET_RESIZE = size(())  # the same for target images in training
    # Pixels at the top, the bottom and both sides of a (resized) target image whose pseudo-labels count for nothing;
    # recipes set them from DATA.IGNORED_ROWS.
    cfg.INPUT.TARGET_MARGINS = pixels_at("top", "bottom", "sides")
    # A source crop is drawn again (10 times) while one class exceeds this share.
    cfg.INPUT.MAX_CLASS_SHARE = share(0.75)

    # Rare class sampling (datasets/batches/rare_classes.py): images are drawn for a class, rare ones more often.
    cfg.SAMPLING = _Section()
    cfg.SAMPLING.RARE_CLASSES = False  # whether it is done; recipes of DAFormer's family set it
    cfg.SAMPLING.TEMPERATURE = above_zero(0.01)  # of the softmax over the classes; smaller: the rarest more often
    # A label with more pixels of the class, as it lies on disk, can be drawn for it.
    cfg.SAMPLING.MIN_PIXELS = at_least_zero(3000)
    # Whether MIN_PIXELS is meant for labels of GTA's size and scaled to the area of these: True under protocols of
    # one's own, unless they set MIN_PIXELS.
    cfg.SAMPLING.BY_AREA = False
    # A crop is drawn again (10 times) while it has no more pixels of the class.
    cfg.SAMPLING.MIN_CROP_PIXELS = at_least_zero(1500)

    # How the student is trained.
    cfg.SOLVER = _Section()
    cfg.SOLVER.ITERS = at_least_one(40000)  # training steps
    cfg.SOLVER.BATCH = at_least_one(2)  # images of each domain, of all GPUs of the run together
    # Labelled target images of a step of methods with semi, of all GPUs of the run together; 0: as many as BATCH, so
    # that one of them weighs as a source image does.
    cfg.SOLVER.LABELLED_BATCH = at_least_zero(0)
    cfg.SOLVER.OPTIMIZER = choice("adamw", "sgd")  # adamw has betas 0.9 and 0.999
    cfg.SOLVER.MOMENTUM = share(0.9)  # momentum of sgd
    cfg.SOLVER.ENCODER_LR = at_least_zero(6e-5)  # learning rate of the encoder, after the warm-up
    cfg.SOLVER.DECODER_LR = at_least_zero(6e-4)  # learning rate of the decoder, after the warm-up
    # What ENCODER_LR is multiplied by for each layer of the encoder below the last, of networks dinov2-* and dinov3-*.
    cfg.SOLVER.LAYER_DECAY = within(1.0, "above 0, up to 1", lambda value: 0 < value <= 1)
    # Train the decoder alone: the encoder stays as WEIGHTS has it, in eval mode, and the teacher shares it.
    cfg.SOLVER.FREEZE_ENCODER = False
    cfg.SOLVER.WEIGHT_DECAY = at_least_zero(0.01)  # weight decay; 0 on the norms of networks that ask for it
    # Iterations in which the rates rise linearly from WARMUP_FACTOR of them.
    cfg.SOLVER.WARMUP_ITERS = at_least_zero(1500)
    cfg.SOLVER.WARMUP_FACTOR = share(1e-6)  # share of the learning rates that the warm-up begins with
    cfg.SOLVER.POWER = at_least_zero(1.0)  # exponent of the polynomial decay of the rates to 0
    # What networks compute in, in training. fp32: on a GPU with TF32 in convolutions and not in matrix products, as
    # torch has it; tf32 (GPUs since Ampere): in both, in evaluations of the run too; bf16 and fp16: autocast, with a
    # gradient scaler for fp16.
    cfg.SOLVER.PRECISION = choice("fp32", "tf32", "bf16", "fp16")
    cfg.SOLVER.ACTIVATION_CHECKPOINTING = False  # recompute the encoder's activations: less memory, same numbers
    cfg.SOLVER.DETERMINISTIC = False  # GPU kernels that sum in one order: slower, and resumed bit for bit
    # Whether a GPU's passes of networks are launched as CUDA graphs where they can be captured: fewer launches, more
    # memory, same numbers; log.txt says what was captured, or why nothing is. Off until a GPU has seen it.
    cfg.SOLVER.GRAPHS = False
    # Whether torch.compile fuses the encoder's repeated parts: slower to begin, faster steps, other rounding.
    cfg.SOLVER.COMPILE = False

    # How the student is scored.
    cfg.TEST = _Section()
    # Images are scaled to exactly this size, logits to the label's; empty: as is.
    cfg.TEST.RESIZE = size((), LEAST_SIDE)
    cfg.TEST.SLIDING = False  # inference by windows whose logits are averaged where they overlap, not on whole images
    cfg.TEST.WINDOW = size((), LEAST_SIDE)  # size of the windows; empty: the training crop's
    cfg.TEST.STRIDE = size(())  # distance between windows; empty: half a window
    # Further sets that the last iterate is scored on, as [bdd100k, acdc] (docs/data_sets.md): published data sets below
    # DATA.ROOT, protocols, or YAML files with the same classes. Images are scaled to the short side of RESIZE.
    cfg.TEST.ALSO = ()
    # Optional metrics that are scored, too (docs/results.md): ECE, BIoU and mBIoU, and those of plug-ins.
    cfg.TEST.METRICS = ()
    # Iterations between evaluations of the student; the last iterate is always evaluated.
    cfg.TEST.PERIOD = at_least_one(4000)
    # How many classes the mIoU called so averages over: 19, or from SYNTHIA 16 or 13 (all that the source labels allow
    # are in the tables), or as many as DATA.CLASSES; 0: the usual number, filled in.
    cfg.TEST.CLASSES = at_least_zero(0)
    # How many images at the end of the source's list are left out of training and scored at each evaluation, to choose
    # settings without target labels (docs/criteria.md); 0: none.
    cfg.TEST.SOURCE_IMAGES = at_least_zero(0)
    # On how many training images of the target, evenly spaced in its list, the confidence of pseudo-labels is measured
    # at each evaluation, to choose settings without target labels (docs/criteria.md); 0: none.
    cfg.TEST.CONFIDENCE_IMAGES = at_least_zero(0)

    cfg.SELF_TRAINING = _keys(SelfTraining())  # teacher, pseudo-labels, strong augmentation (methods/framework/step.py)
    cfg.HRDA = _keys(MultiResolution())  # context and detail (methods/networks/multi_resolution.py)
    cfg.TERMS = CN()  # TERMS.<NAME>.<SETTING>, the fields of each term's settings
    for name, cls in sorted(TERMS.items()):
        cfg.TERMS[config_name(name)] = _keys(cls.Settings())

    # How a run is watched (docs/watching.md).
    cfg.LOG = _Section()
    # Iterations between looks at the losses, each a line of log.txt and metrics.json: in between, nothing waits for the
    # device, and a loss that is not finite is not yet found.
    cfg.LOG.PERIOD = at_least_one(20)
    # Iterations between pictures of a step: images, labels, masks, predictions; with target labels where they are at
    # hand, for the eye and pseudo_label_accuracy alone. 0: none.
    cfg.LOG.IMAGES = at_least_zero(0)
    cfg.LOG.WRITERS = several(*WRITERS)  # where scalars go besides metrics.json and TensorBoard; --writer sets it

    cfg.DEVICE = ""  # what torch computes on, as "cuda" or "cpu"; empty: cuda where there is one, else cpu
    # Processes that load images; any number gives the same batches. -1: 2 on the CPU, 2 to 8 beside a GPU, by cores and
    # shared memory (benchmarks/data/loader_workers.py); the log says how many.
    cfg.NUM_WORKERS = workers(-1)
    cfg.CHECKPOINT_PERIOD = at_least_one(1000)  # iterations between checkpoints
    return cfg


# Keys that hold a list of words.
WORD_KEYS = {
    *("NUMERICS", "PLUGINS", "DATA.CLASSES", "DATA.COLOURS", "DATA.THINGS", "LOG.WRITERS", "TEST.ALSO", "TEST.METRICS")
} | {
    f"DATA.{role}.{key}" for role in ROLES for key in ("CONDITIONS", "IDS")
}
# Keys that hold a path: "~" at its beginning is the home folder.
PATH_KEYS = {"WEIGHTS", "DATA.ROOT", "DATA.MODULE"} | {
    f"DATA.{role}.{key}" for role in ROLES for key in ("FOLDER", "IMAGES", "LABELS")
}


AMOUNT_KEYS = {"DATA.LABELLED_TARGET"}
"""Keys that hold a share as "1/16" or a number, both as text."""


def _data_set() -> _Section:
    node = _Section()
    # A published data set (datasets/sets/layouts.py), or "folders", or "registered" with detectron2.
    node.LAYOUT = ""
    node.FOLDER = ""  # where the data set lies, below DATA.ROOT
    node.SPLIT = "train"  # which part of a published data set
    node.CONDITIONS = ()  # weather or daytime, where a data set is sorted by them; empty: the published ones
    node.IMAGES = ""  # with "folders": a folder or a pattern of paths below FOLDER (datasets/sets/folders.py)
    node.LABELS = ""  # with "folders": the same for labels
    node.NAME = ""  # with "registered": the name in detectron2's DatasetCatalog
    node.IDS = ()  # what labels store, "id=class" each; a protocol's file gives a mapping (docs/own_data.md)
    return node


def _learned() -> _Section:
    node = _data_set()
    # Of several data sets: how many of all images of a batch are of this one, beside the weights of the others.
    node.WEIGHT = above_zero(1.0)
    # What INPUT's SOURCE_RESIZE, or TARGET_RESIZE, is multiplied by for its images: of SYNTHIA beside GTA 1.0556, for
    # 760 rows and not 720.
    node.SCALE = above_zero(1.0)
    return node


def _target() -> _Section:
    node = _learned()
    node.MARGINS = True  # whether INPUT.TARGET_MARGINS are of its images, too
    return node


def _keys(settings: Any) -> CN:
    return CN({name.upper(): value for name, value in asdict(settings).items()})


def setting_type(key: str) -> Any:
    """The annotation of the field that a key is of, as ``float | None``; None where it is of none, or has none."""
    section, _, leaf = key.rpartition(".")
    for name, cls in sections():
        if name == section:
            return _type_hints(cls).get(leaf.lower())
    return None


def sections() -> Iterator[tuple[str, type]]:
    """The sections whose keys are the fields of a settings dataclass, with that."""
    yield "SELF_TRAINING", SelfTraining
    yield "HRDA", MultiResolution
    for name, cls in TERMS.items():
        yield f"TERMS.{config_name(name)}", cls.Settings


@cache
def _type_hints(cls: type) -> dict[str, Any]:
    try:
        return get_type_hints(cls)
    except NameError:  # of a module that imports a name for type checkers alone
        return {}


def config_name(term: str) -> str:
    """A name as config keys have it: ``self-training`` -> ``SELF_TRAINING``."""
    return term.upper().replace("-", "_")


def from_node(cls: type, node: CN) -> Any:
    """Build a settings dataclass from its config node."""
    return cls(**{key.lower(): value for key, value in node.items()})


def flatten(node: CN, prefix: str = "") -> dict[str, Any]:
    """The values of a node by whole key: ``{"SOLVER.ITERS": 40000, ...}``."""
    flat: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, CN):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
