"""The further sets of images that TEST.ALSO names: data sets that ship, or the validation images of a protocol."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from benchmarks.config.label_space import label_space
from benchmarks.config.protocol_file import is_path, protocol_values
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.data.data_sets import Items, allow_module, items
from benchmarks.data.from_config import data_root
from datasets.base.framing import by_short_side
from datasets.batches.evaluation_set import EvaluationSet
from datasets.sets.layouts import LAYOUTS


@dataclass(frozen=True)
class FurtherSet:
    """Labelled images to be scored on.

    Attributes:
        name: the data set's, or the protocol's.
        images: scaled by their short side, as TEST.RESIZE has it.
        conditions: of weather or daytime, one an image; "" where a data set is not sorted by them.
        short_side: in pixels; None where images are taken as they are.
    """

    name: str
    images: EvaluationSet
    conditions: tuple[str, ...]
    short_side: int | None


def further_sets(cfg: CfgNode, root: Path, names: tuple[str, ...] | None = None) -> list[FurtherSet]:
    """The sets of TEST.ALSO, or of ``names``, by name below DATA.ROOT, or ``root`` where that is not given.

    Raises:
        ConfigError or DataError: one line that names the data set that is not there, or has other classes.
    """
    base, resize = Path(cfg.DATA.ROOT) if cfg.DATA.ROOT else root, tuple(cfg.TEST.RESIZE)
    found = []
    for name in tuple(cfg.TEST.ALSO) if names is None else names:
        parts = _of_layout(name, base) if name in LAYOUTS else {"": _of_protocol(name, cfg)}
        images = EvaluationSet(
            [item for part in parts.values() for item in part],
            (resize[0], resize[1]) if resize else None,
            fit=by_short_side,
        )
        conditions = tuple(condition for condition, part in parts.items() for _ in part)
        found.append(FurtherSet(set_name(name), images, conditions, min(resize) if resize else None))
    return found


def set_name(name: str) -> str:
    """What records call a set of TEST.ALSO: a YAML file as its protocol."""
    return Path(name).stem if is_path(name) else name


def _of_layout(name: str, root: Path) -> dict[str, Items]:
    """The scored split of a published data set, by condition."""
    layout = LAYOUTS[name]
    folder = root / (layout.folder or name.replace("-", "_"))
    return {
        condition: layout.scan(folder, layout.scored, labelled=True, conditions=(condition,) if condition else ())
        for condition in layout.default_conditions or ("",)
    }


def _of_protocol(name: str, cfg: CfgNode) -> Items:
    """The validation images of a protocol, which lie where its own file or its DATA.ROOT says, else where the run's."""
    other = RunSpec(name, cfg.METHOD, cfg.NETWORK, cfg.SEED, _drawn(name, cfg)).resolve()
    allow_module(other)
    if label_space(other).names != label_space(cfg).names:
        raise ConfigError(f"TEST.ALSO: {name}: its classes are not those of protocol {cfg.PROTOCOL}")
    if not (other.DATA.ROOT or other.PROTOCOL_FILE):
        other.defrost()
        other.DATA.ROOT = cfg.DATA.ROOT
        other.freeze()
    return items(other, "VAL", data_root(other), labelled=True)


def _drawn(name: str, cfg: CfgNode) -> dict[str, Any]:
    """The keys by which few but validation images of the embedded benchmark are drawn: they do not depend on others.

    As many and as large as those of the run, where it learns from the embedded benchmark itself.
    """
    if not protocol_values(name).get("DATA.STREETS.SOURCE_IMAGES"):
        return {}
    few = {"DATA.STREETS.SOURCE_IMAGES": 1, "DATA.STREETS.TARGET_IMAGES": 1, "DATA.STREETS.SYNTHIA_IMAGES": 0}
    own = cfg.DATA.STREETS
    as_own = {f"DATA.STREETS.{key}": own[key] for key in ("SIZE", "VAL_IMAGES", "SEED")} if own.SOURCE_IMAGES else {}
    return few | as_own
