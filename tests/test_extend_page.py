"""docs/extend.md: every file that it shows and every command does what it says, in a folder beside the checkout."""

from __future__ import annotations

import re
import shutil
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import NETWORK, SMALL, pairs
from detectron2.config import CfgNode
from page_commands import blocks, commands, own_files
from plugged_in import forgotten
from tiny_files import save_grey, save_image
from tiny_published import write_published

from benchmarks.config.keys import flatten
from benchmarks.core.checkout import ROOT
from benchmarks.core.command import _code
from results.records.record import read_record

TEXT = (ROOT / "docs/extend.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
QUICK = SMALL | {"SOLVER.ITERS": 2, "TEST.PERIOD": 2, "NUM_WORKERS": 0, "INPUT.MAX_CLASS_SHARE": 1.0}
SIZES = {"INPUT.SOURCE_RESIZE": (96, 64), "INPUT.TARGET_RESIZE": (96, 64), "TEST.RESIZE": (96, 64)}
# The methods that each section's commands train, and a key that shows what was added, with its values.
MADE = {
    "A method": ({"dacs+entropy", "dacs+mrm-warm"}, "TERMS.ENTROPY.KEPT", {0.5}),
    "A host": ({"slow-dacs", "slow-dacs+mic"}, "SELF_TRAINING.MOMENTUM", {0.999}),
    "A network": ({"dacs+mrm"}, "NETWORK", {"tiny"}),
    "A data set": ({"source-only", "dacs"}, "DATA.SOURCE.FOLDER", {"game"}),
    "A protocol": ({"daformer"}, "DATA.TARGET.LAYOUT", {"acdc"}),
    "A metric": ({"source-only"}, "NETWORK", {NETWORK}),
    "A grid": ({"dacs", "dacs+entropy"}, "TERMS.ENTROPY.KEPT", {0.25, 0.5}),
    "A search": ({"dacs+entropy"}, "TERMS.ENTROPY.WEIGHT", {1.0}),
}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the files of the page, the examples, and data for both protocols."""
    for name, content in own_files(TEXT).items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("data", "__pycache__"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_data(folder: Path) -> None:
    """What my_data.yaml and gta-acdc.yaml read."""
    write_published(folder / "DATA")
    rng = np.random.default_rng(0)
    for i in range(2):
        for name in ("game/images", "camera/train", "camera/val"):
            save_image(folder / name / f"{i}.png", (128, 128), i)
        save_grey(folder / f"game/labels/{i}.png", np.repeat(rng.choice([7, 8, 11, 23, 30], (128, 8)), 16, 1))
        save_grey(folder / f"camera/val_labels/{i}.png", np.repeat(rng.choice([0, 1, 2, 255], (128, 8)), 16, 1))


def run(words: list[str], *more: str) -> int:
    """The exit code of a command of the page, in this process."""
    before, sys.argv = sys.argv, [*words[1:], *more]
    try:
        with forgotten():
            return _code(import_module(words[1].removesuffix(".py").replace("/", ".")).main)
    finally:
        sys.argv = before


@pytest.mark.slow
@pytest.mark.parametrize("section", MADE)
def test_what_a_section_shows_works_elsewhere(section: str, elsewhere: Path) -> None:
    methods, key, values = MADE[section]
    write_data(elsewhere)
    is_drawn = section not in ("A data set", "A protocol")
    sizes = pairs({key: value for key, value in QUICK.items() if is_drawn or not key.startswith("DATA.STREETS")})
    sizes += pairs(SIZES) if section == "A protocol" else []
    shell = "".join(block.text for block in blocks(SECTIONS[section]) if block.language == "bash")
    for words in commands(shell):
        own = [] if "check_data" in words[1] else sizes[2:] if "--network" in words else sizes
        assert run(words, *own) == 0, words
    folders = [path.parent for path in Path("runs").rglob("record.json")]
    records = [read_record(folder) for folder in folders]
    assert {(record.spec.method, record.status.value) for record in records if record} == {
        (method, "finished") for method in methods
    }
    if section == "A metric":
        texts = [(folder / "record.json").read_text(encoding="utf-8") for folder in folders]
        assert all('"fwIoU"' in text and '"sure"' in text for text in texts)
    configs = [CfgNode(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))) for folder in folders]
    assert {flatten(config).get(key) for config in configs} >= values


def test_every_section_and_file_is_run() -> None:
    assert list(SECTIONS) == list(MADE)
    shown = [block for block in blocks(TEXT) if block.language in ("python", "yaml")]
    assert len(own_files(TEXT)) == len(shown) == 5
