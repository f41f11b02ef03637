"""What detectron2 0.6 needs to run on today's torch, numpy and Pillow, without a C++ compiler and without torchvision.

Every substitution states how often it must match, so that an unexpected source is refused and not half-changed. The
substitutions replace imports and removed names only: no computation changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .errors import InstallError

NOTICE = "# This file was changed by segshift's set-up: imports and removed names only, see benchmarks/install.\n"
"""First line of every changed file (Apache License 2.0, section 4(b))."""


@dataclass(frozen=True)
class Substitution:
    """Replace the regular expression ``pattern`` by ``replacement`` in ``path``, exactly ``count`` times."""

    path: str
    pattern: str
    replacement: str
    count: int


def _literal(path: str, old: str, new: str, count: int = 1) -> Substitution:
    return Substitution(path, re.escape(old), new.replace("\\", "\\\\"), count)


def _numpy_aliases(path: str, count: int) -> Substitution:
    # numpy 1.24 removed these aliases of the builtins (deprecated since 1.20).
    return Substitution(path, r"\bnp\.(int|float|bool|object|str)\b", r"\1", count)


SUBSTITUTIONS: tuple[Substitution, ...] = (
    _literal(
        "detectron2/layers/roi_align.py",
        "from torchvision.ops import roi_align\n",
        "from detectron2.layers._torchvision import roi_align\n",
    ),
    _literal(
        "detectron2/layers/deform_conv.py",
        "from torchvision.ops import deform_conv2d\n",
        "from detectron2.layers._torchvision import deform_conv2d\n",
    ),
    _literal(
        "detectron2/layers/nms.py",
        "from torchvision.ops import boxes as box_ops\nfrom torchvision.ops import nms  # BC-compat\n",
        "from detectron2.layers._torchvision import box_ops, nms\n",
    ),
    _literal(
        "detectron2/modeling/poolers.py",
        "from torchvision.ops import RoIPool\n",
        "from detectron2.layers._torchvision import RoIPool\n",
    ),
    # collect_env_info() already copes with a torchvision that has no version.
    _literal(
        "detectron2/utils/collect_env.py",
        "import torchvision\nfrom tabulate import tabulate\n",
        "from tabulate import tabulate\n\ntry:\n    import torchvision\nexcept ImportError:\n    torchvision = None\n",
    ),
    _numpy_aliases("detectron2/data/build.py", 2),
    _numpy_aliases("detectron2/data/datasets/pascal_voc.py", 1),
    _numpy_aliases("detectron2/evaluation/pascal_voc_evaluation.py", 2),
    _numpy_aliases("detectron2/evaluation/sem_seg_evaluation.py", 7),
    _numpy_aliases("detectron2/structures/masks.py", 3),
    _numpy_aliases("detectron2/utils/video_visualizer.py", 1),
    _numpy_aliases("detectron2/utils/visualizer.py", 3),
    # Pillow 10 removed this second name of the same filter.
    _literal("detectron2/data/transforms/transform.py", "Image.LINEAR", "Image.BILINEAR"),
    # setuptools 82 removed pkg_resources; wheels are installed as plain folders, so a path beside the module is enough.
    _literal("detectron2/model_zoo/model_zoo.py", "import pkg_resources\n", ""),
    _literal(
        "detectron2/model_zoo/model_zoo.py",
        'pkg_resources.resource_filename(\n        "detectron2.model_zoo", os.path.join("configs", config_path)\n    )',
        'os.path.join(os.path.dirname(os.path.abspath(__file__)), "configs", config_path)',
    ),
)

ADDED_FILES: dict[str, str] = {
    "detectron2/_C.py": '''\
"""Stands in for detectron2's compiled extension: this build has none (added by segshift's set-up)."""

_REASON = "not built: segshift's pure-Python detectron2 has no C++ operators"


def get_compiler_version():
    return _REASON


def get_cuda_version():
    return _REASON


def has_cuda():
    return False


def __getattr__(name):
    if name.startswith("__"):  # the import system and inspect probe such names
        raise AttributeError(f"module 'detectron2._C' has no attribute {name!r}")
    raise ImportError(
        f"detectron2._C.{name} needs detectron2's compiled extension, which segshift's pure-Python build leaves out "
        "(rotated boxes, deformable convolution, fast COCO evaluation); build detectron2 from its own source to use it"
    )
''',
    "detectron2/layers/_torchvision.py": '''\
"""torchvision's operators where it is installed, else stand-ins that say so when used (added by segshift's set-up)."""

try:
    from torchvision.ops import RoIPool, deform_conv2d, nms, roi_align
    from torchvision.ops import boxes as box_ops
except ImportError:

    class _Missing:
        def __init__(self, name):
            self._name = name

        def __call__(self, *args, **kwargs):
            raise ImportError(f"detectron2 needs torchvision for {self._name}, and torchvision is not installed")

        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return _Missing(f"{self._name}.{name}")

    RoIPool = _Missing("torchvision.ops.RoIPool")
    box_ops = _Missing("torchvision.ops.boxes")
    deform_conv2d = _Missing("torchvision.ops.deform_conv2d")
    nms = _Missing("torchvision.ops.nms")
    roi_align = _Missing("torchvision.ops.roi_align")
''',
}


def apply(files: dict[str, str], substitutions: Iterable[Substitution]) -> dict[str, str]:
    """Return a copy of ``files`` (path -> text) with the substitutions made and each changed file marked.

    Raises:
        InstallError: a file is missing, or a pattern does not match as often as it must.
    """
    changed = dict(files)
    touched: set[str] = set()
    for item in substitutions:
        if item.path not in changed:
            raise InstallError(f"{item.path}: not in the detectron2 archive, expected since it has to be changed")
        text, found = re.subn(item.pattern, item.replacement, changed[item.path])
        if found != item.count:
            raise InstallError(f"{item.path}: pattern {item.pattern!r} matches {found} times, expected {item.count}")
        changed[item.path] = text
        touched.add(item.path)
    for path in touched:
        changed[path] = NOTICE + changed[path]
    return changed
