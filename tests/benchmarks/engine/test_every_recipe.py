"""Every shipped recipe under every protocol: two steps, from files to record, at a fraction of the protocol's sizes."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from code_at_hand import know_the_code
from conftest import NETWORK
from detectron2.config import CfgNode
from few_labels import few_labels
from scores import assert_scores
from tiny_published import write_published
from tiny_vit import DAFORMER, register_tiny

from benchmarks.config.protocol_file import protocols
from benchmarks.config.run import Run
from benchmarks.config.spec import RunSpec
from benchmarks.core.checkout import ROOT
from benchmarks.engine.runner import RunWatcher, run_one
from datasets import streets
from methods.framework.recipes import PARTS, parse

VFM = "gta-cityscapes-vfm"
OWN = str(ROOT / "examples/own_data/folders.yaml")
HOSTS = [name for name, part in PARTS.items() if part.host]
ADD_ONS = [name for name, part in PARTS.items() if not part.host]
# Every host, every add-on on the default host, and the sums that the papers report.
RECIPES = [*HOSTS, *ADD_ONS, "daformer+mic+mrm", "hrda+mic+mrm"]

# The sizes of a run here: an eighth of the published ones, so that a crop of 512 becomes 64 and HRDA's 1024 128.
SHRUNK = ("INPUT.SOURCE_RESIZE", "INPUT.TARGET_RESIZE", "INPUT.CROP", "TEST.RESIZE")
SMALL: dict[str, Any] = {
    "SOLVER.ITERS": 2,
    "SOLVER.WARMUP_ITERS": 1,
    "SOLVER.BATCH": 2,
    "TEST.PERIOD": 2,
    "SAMPLING.MIN_PIXELS": 10,
    "SAMPLING.MIN_CROP_PIXELS": 10,
    "INPUT.MAX_CLASS_SHARE": 1.0,
    "TERMS.MIC.BLOCK": 8,
    "TERMS.MRM.DIM": 32,
    "TERMS.MRM.HEADS": 2,
    "WEIGHTS": "none",
    "DEVICE": "cpu",
    "NUM_WORKERS": 0,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_published(tmp_path_factory.mktemp("data"), validation=1)
    streets.write(folder / "data", size=(256, 128), source_images=3, target_images=3, val_images=1, seed=0)
    return folder


def shrunk(protocol: str, recipe: str, root: Path) -> CfgNode:
    cfg = RunSpec(protocol, recipe).resolve()
    sizes: dict[str, Any] = {}
    drawn = protocol.startswith("streets")
    if drawn or protocol == OWN:
        sizes = {"INPUT.CROP": (64, 64)}
    else:
        for key in SHRUNK:
            section, name = key.split(".")
            if value := cfg[section][name]:
                sizes[key] = tuple(math.ceil(side / 8) for side in value)
        sizes["INPUT.TARGET_MARGINS"] = tuple(side // 8 for side in cfg.INPUT.TARGET_MARGINS)
    if drawn:
        second = min(3, cfg.DATA.STREETS.SYNTHIA_IMAGES)
        sizes |= {"DATA.STREETS.SIZE": (128, 64), "DATA.STREETS.SYNTHIA_IMAGES": second}
        sizes |= {"DATA.STREETS.SOURCE_IMAGES": 3, "DATA.STREETS.TARGET_IMAGES": 3, "DATA.STREETS.VAL_IMAGES": 1}
    else:
        sizes["DATA.ROOT"] = str(root)
    if protocol == VFM:  # images as they are, of which patches and both resolutions fit 64x64
        sizes["INPUT.CROP"] = (64, 64)
    # On one protocol the network of the embedded benchmark, on the others one that is trained in no time.
    network = {"streets": None, VFM: DAFORMER}.get(protocol, NETWORK)
    return RunSpec(protocol, recipe, network, overrides={**SMALL, **sizes, **few_labels(recipe)}).resolve()


# Protocols that are another but for images or length need one recipe: of several sources one with rare class sampling.
VARIANTS = {name: "dacs" for name in protocols() if name.startswith("streets-")}
VARIANTS["gta+synthia-cityscapes"] = "daformer"
EACH = [(protocol, recipe) for protocol in [*protocols(), OWN] if protocol not in VARIANTS for recipe in RECIPES]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "recipe"), [*EACH, *VARIANTS.items()], ids=lambda name: Path(name).stem
)
def test_two_steps(
    recipe: str, protocol: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_tiny(monkeypatch)
    know_the_code(monkeypatch)
    cfg = shrunk(protocol, recipe, root)
    record = run_one(Run.at(tmp_path, cfg), RunWatcher()).content
    learns = cfg.METHOD if recipe == "target-only" or parse(recipe).few_labels else ""
    if learns and protocol in (OWN, "cityscapes-darkzurich"):  # their training images have no labels
        assert record["status"] == "failed" and f"{learns} learns from target labels, but" in record["reason"]
        return
    assert (record["status"], record["reason"]) == ("finished", "")
    assert record["iterations"] == 2
    assert record["classes"] == cfg.TEST.CLASSES
    assert_scores(record, cfg, "student", *(["teacher"] if parse(recipe).host.teacher else []))


def test_the_recipes_are_all_that_ship() -> None:
    """By what the files of ``methods/`` register, whether or not somebody imports them."""
    part = re.compile(r'^ *(?:register\()?MethodPart\(\s*"(.+?)"', re.MULTILINE)
    files = (ROOT / "methods").glob("*.py")
    shipped = [name for path in files for name in part.findall(path.read_text(encoding="utf-8"))]
    assert sorted(PARTS) == sorted(shipped)
    assert {part for recipe in RECIPES for part in recipe.split("+")} == set(shipped)
