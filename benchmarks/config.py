"""Every config key of segshift, in one function, as a detectron2 CfgNode."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from detectron2.config import CfgNode as CN

import methods.catalog  # noqa: F401  (registers the terms whose settings become keys)
from methods.step import SelfTraining
from methods.term import TERMS

# Keys that say where and how a run runs, not what it computes: they are left out of the run's id.
PLACE_KEYS = ("DATA.ROOT", "DEVICE", "NUM_WORKERS", "CHECKPOINT_PERIOD")


def get_config() -> CN:
    """The defaults: the published settings of DACS (DAFormer's baseline) with a 512 x 512 crop.

    Protocols (``benchmarks/protocols/*.yaml``), recipes and ``KEY VALUE`` pairs change them, in this order.
    """
    cfg = CN()
    cfg.PROTOCOL = ""  # name of the protocol file
    cfg.DESCRIPTION = ""  # of the protocol, one line
    cfg.METHOD = ""  # canonical recipe
    cfg.NETWORK = ""  # name of the network; the protocol sets a default
    cfg.WEIGHTS = "imagenet"  # a known name, a path, or "none"
    cfg.SEED = 0  # decides initialization, data order, augmentation, masks: everything drawn

    # Where images come from. FOLDER is below ROOT.
    cfg.DATA = CN()
    cfg.DATA.ROOT = ""  # empty: $DETECTRON2_DATASETS
    cfg.DATA.SOURCE = _data_set()  # labelled training images
    cfg.DATA.TARGET = _data_set()  # training images; their labels are read for target-only alone
    cfg.DATA.VAL = _data_set()  # what mIoU is measured on
    # The embedded benchmark: drawn and cached where IMAGES are set, instead of read below ROOT.
    cfg.DATA.STREETS = CN()
    cfg.DATA.STREETS.SIZE = (256, 128)  # width, height in pixels
    cfg.DATA.STREETS.SOURCE_IMAGES = 0  # 0: not the embedded benchmark
    cfg.DATA.STREETS.TARGET_IMAGES = 0
    cfg.DATA.STREETS.VAL_IMAGES = 0
    cfg.DATA.STREETS.SEED = 0  # of the drawing, not of the run
    cfg.DATA.STREETS.VERSION = 0  # of the drawing code; filled in, so that the run's id depends on it

    # How a training image becomes a crop. Sizes are (width, height) in pixels.
    cfg.INPUT = CN()
    cfg.INPUT.CROP = (512, 512)
    cfg.INPUT.FLIP = 0.5  # probability of a horizontal flip
    cfg.INPUT.SOURCE_RESIZE = ()  # scaled, aspect kept, to the largest size that fits; empty: as is
    cfg.INPUT.TARGET_RESIZE = ()
    cfg.INPUT.MAX_CLASS_SHARE = 0.75  # a source crop is drawn again (10 times) while one class exceeds this share

    cfg.SOLVER = CN()
    cfg.SOLVER.ITERS = 40000
    cfg.SOLVER.BATCH = 2  # images of each domain
    cfg.SOLVER.ENCODER_LR = 6e-5  # AdamW, betas 0.9 and 0.999
    cfg.SOLVER.DECODER_LR = 6e-4
    cfg.SOLVER.WEIGHT_DECAY = 0.01  # 0 on the norms of networks that ask for it
    cfg.SOLVER.WARMUP_ITERS = 1500  # linear from WARMUP_FACTOR of the rate
    cfg.SOLVER.WARMUP_FACTOR = 1e-6
    cfg.SOLVER.POWER = 1.0  # of the polynomial decay to 0
    cfg.SOLVER.PRECISION = "fp32"  # or "bf16", "fp16": autocast, with a gradient scaler for fp16

    cfg.TEST = CN()
    cfg.TEST.RESIZE = ()  # images are scaled to exactly this size, logits to the label's; empty: as is
    cfg.TEST.PERIOD = 4000  # iterations between evaluations of the student; the last iterate is always evaluated
    cfg.TEST.CLASSES = 19  # class set of the reported mIoU: 19, 16 (SYNTHIA) or 13

    cfg.SELF_TRAINING = _keys(SelfTraining())  # teacher, pseudo-labels and strong augmentation (methods/step.py)
    cfg.TERMS = CN()  # TERMS.<NAME>.<SETTING>, the fields of each term's settings
    for name, cls in sorted(TERMS.items()):
        cfg.TERMS[config_name(name)] = _keys(cls.Settings())

    cfg.DEVICE = ""  # empty: cuda where there is one, else cpu
    cfg.NUM_WORKERS = 2  # processes that load images; any number gives the same batches
    cfg.CHECKPOINT_PERIOD = 1000  # iterations
    return cfg


def _data_set() -> CN:
    return CN({"LAYOUT": "", "FOLDER": "", "SPLIT": "train"})


def _keys(settings: Any) -> CN:
    return CN({name.upper(): value for name, value in asdict(settings).items()})


def config_name(term: str) -> str:
    """``self-training`` -> ``SELF_TRAINING``."""
    return term.upper().replace("-", "_")


def settings(cls: type, node: CN) -> Any:
    """Build a settings dataclass from its config node."""
    return cls(**{key.lower(): value for key, value in node.items()})


def flatten(node: CN, prefix: str = "") -> dict[str, Any]:
    """``{"SOLVER.ITERS": 40000, ...}``."""
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, CN) else {f"{prefix}{key}": value}
    return flat
