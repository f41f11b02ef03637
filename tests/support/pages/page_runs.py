"""Commands of Markdown pages, executed: in miniature, on small data that stand for the reader's own."""

from __future__ import annotations

import io
import re
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import yaml
from conftest import NETWORK, SMALL, pairs
from counted_costs import COUNTER
from detectron2.data import DatasetCatalog, MetadataCatalog
from page_commands import PYTHONS, TOOLS, Block, blocks, commands
from plugged_in import forgotten
from tiny_files import save_image
from tiny_published import SIZE, write_published
from trained_runs import streets_root

from ablations.profiling import step_cost
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder
from benchmarks.config.spec import RunSpec
from benchmarks.core.checkout import ROOT
from benchmarks.engine.runner import RunWatcher, run_one

# What the gate itself executes: set-up, the tests, the linter and the type checker.
OF_THE_GATE = {"benchmarks.install", "pytest"}
DRAWN = ["--size", "128x64", "--source-images", "6", "--target-images", "5", "--val-images", "2", "--workers", "1"]
ONE_STEP = {"SOLVER.ITERS": 1, "TEST.PERIOD": 1, "CHECKPOINT_PERIOD": 1}
PLACEHOLDER_DOTS = ["--methods", "dacs", "--protocol", "gta-cityscapes", "--data-root", "DATA"]
Words = list[str]


class Stage(NamedTuple):
    """The folder that commands are executed in, and the names of pages for what is there."""

    folder: Path
    names: dict[str, str]

    def copy(self, to: Path) -> Stage:
        """The same elsewhere, for one page to write in."""
        shutil.copytree(self.folder, to)
        return Stage(to, self.names)


def make_stage(folder: Path) -> Stage:
    """Data sets in miniature, a trained run, photos, a protocol and a profile: what readers have of their own."""
    write_published(folder / "DATA")
    for i in range(2):
        save_image(folder / f"DATA/cityscapes/leftImg8bit/test/bonn/bonn_{i:06d}_000019_leftImg8bit.png", SIZE, i)
        save_image(folder / f"photos/{i}.jpg", SIZE, i)
        save_image(folder / f"more/deep/{i}.png", SIZE, i)
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("data", "__pycache__"))
    shutil.copytree(streets_root(), folder / "path/to/data")
    shutil.copy(ROOT / "examples/own_data/folders.yaml", folder / "path/to/my.yaml")
    (profile,) = (block.text for block in _blocks("docs/cluster.md") if block.text.startswith("# my.yaml\n"))
    (folder / "my.yaml").write_text(profile)
    small = {key: value for key, value in SMALL.items() if not key.startswith("DATA.")}
    sizes = {"INPUT.SOURCE_RESIZE": (160, 90), "INPUT.TARGET_RESIZE": (128, 64), "TEST.RESIZE": (128, 64)}
    where = {"DATA.ROOT": str(folder / "DATA")}
    cfg = RunSpec("gta-cityscapes", "dacs", None, 0, small | ONE_STEP | sizes | where).resolve()
    run = run_folder(folder / "runs", cfg)
    assert run_one(Run.at(run, cfg), RunWatcher()).content["status"] == "finished"
    names = {
        "RUN": run.relative_to(folder).as_posix(),
        "3f2a": run.name[:4],
        "published/NAME": f"published/gta-cityscapes-dacs-{NETWORK}-seed0-{run.name}",
        "$grid": "mask-ratio",
        "1024x512": "64x64",
    }
    return Stage(folder, names)


def page_words(text: str) -> Iterator[Words]:
    """The words of each command of a page that is to be executed; what a comment in place leaves out is not."""
    for block in blocks(text):
        if block.language not in ("bash", "sh"):
            continue
        for words in commands(block.text):
            left_out = words[0] in block.left_out or script(words) in block.not_run
            if not left_out and words[0] not in TOOLS and script(words) not in OF_THE_GATE:
                yield words


def script(words: Words) -> str:
    """The script or module that a command runs; of other programs their name."""
    if words[0] not in PYTHONS:
        return words[0]
    return words[2] if words[1] == "-m" else words[1]


def execute(words: Words, stage: Stage) -> str:
    """What a command printed; it ran in miniature in this process, from the stage's folder.

    Raises:
        AssertionError: it ended with an error, with what it said.
    """
    given = [stage.names.get(word, word) for word in words[1:]]
    if "..." in given:
        at = given.index("...")
        given[at : at + 1] = PLACEHOLDER_DOTS
    if script(words) == "ablations/search.py":
        return _described(given)
    return _run(MINIATURE.get(script(words), _as_it_is)(given))


def _as_it_is(words: Words) -> Words:
    return words


def _described(words: Words) -> str:
    """A search up to its first trial: the lowest of all ranges, resolved."""
    from ablations.search import described, parse_arguments

    search = described(parse_arguments(words[1:]))
    return search.spec({each.name: each.ends[0] for each in search.space}).resolve().METHOD


def _trained(words: Words) -> Words:
    """One seed of own or drawn data is trained for a few steps; anything longer, or elsewhere, is planned."""
    options = dict(pairwise(words))
    if "--dry-run" in words:
        return words
    if {"--seeds", "--launcher", "--gpus"} & {*words} or not _is_here(options.get("--protocol", "streets")):
        return [*words, "--dry-run"]
    small = SMALL | ONE_STEP
    own = {key: value for key, value in small.items() if key not in options and _is_key_of(key, options)}
    return [*_fewer_images(words), *pairs(own)]


def _fewer_images(words: Words) -> Words:
    before = ["", *words[:-1]]
    return [
        "2" if key.startswith("TEST.") and key.endswith("_IMAGES") else word
        for key, word in zip(before, words, strict=True)
    ]


def _is_here(protocol: str) -> bool:
    return protocol == "streets" or protocol.endswith(".yaml")


def _is_key_of(key: str, options: dict[str, str]) -> bool:
    given = key == "NETWORK" and "--network" in options
    return not (given or (key.startswith("DATA.STREETS.") and "--protocol" in options))


def _planned(words: Words) -> Words:
    return words if "--dry-run" in words else [*words, "--dry-run"]


def _first_section(words: Words) -> Words:
    """A list of two runs, planned."""
    return words if "--list" in words else _planned([*words, "--only", "mask-only", "--seeds", "0"])


def _first_method(words: Words) -> Words:
    """Counted for one method, on small crops."""
    if "--methods" not in words:
        return [*words, "--methods", "dacs"]
    at = words.index("--methods") + 1
    return [*words[:at], words[at].split(",")[0], *words[at + 1 :]]


def _on_tiny(words: Words) -> Words:
    """The network that is quickest to count."""
    at = words.index("--network") if "--network" in words else len(words)
    return [*words[:at], "--network", NETWORK, *words[at + 2 :]]


def _counted(words: Words) -> Words:
    small = _on_tiny(_first_method(words))
    if "--measure" in small:
        small[small.index("--measure") + 1] = "1"
    return [*small, "--crop", "64x64", "SOLVER.BATCH", "1"]


def _memory(words: Words) -> Words:
    return [*_on_tiny(_first_method(words)), "--precisions", "fp32", "--checkpointing", "off", "INPUT.CROP", "64x64"]


def _measured(words: Words) -> Words:
    """One round of the first method, on small pictures of the reader's and on the quickest network."""
    small = ["--networks", NETWORK, "--crop", "64x64", "--batch", "2", "--rounds", "1", "--images", "2"]
    if words[1:2] in (["data"], ["eval"]):
        small += ["--data", "DATA", "--size", "64x32"]
        small += [*pairs({"INPUT.SOURCE_RESIZE": (160, 90), "INPUT.TARGET_RESIZE": (128, 64)}), "NUM_WORKERS", "0"]
    return [*(_first_method(words) if "--methods" in words else words), *small]


def _watched(words: Words) -> Words:
    return [*words, "--every", "0.1"] if "--watch" in words else words


MINIATURE: dict[str, Callable[[Words], Words]] = {
    "benchmarks/run.py": _trained,
    "ablations/run.py": _planned,
    "ablations/paper.py": _first_section,
    "ablations/cost.py": _counted,
    "benchmarks/step_memory.py": _memory,
    "benchmarks/speed.py": _measured,
    "benchmarks/status.py": _watched,
    "benchmarks/check_data.py": lambda words: [*words, "--workers", "1", "INPUT.CROP", "64x64"],
    "datasets.streets": lambda words: [*words, *DRAWN],
}


def _run(words: Sequence[str]) -> str:
    said = io.StringIO()
    counted_once = patch.object(step_cost, "CostCounter", lambda: COUNTER)
    apart = (forgotten(), _searched_path(), _own_registered(), counted_once)
    with redirect_stdout(said), redirect_stderr(said), ExitStack() as stack:
        for context in apart:
            stack.enter_context(context)
        code = _code(list(words))
    assert code == 0, f"{' '.join(words)}: exit code {code}\n{said.getvalue()}"
    return said.getvalue()


def _code(words: Words) -> int:
    module = words[1] if words[0] == "-m" else ""
    try:
        with patch.object(sys, "argv", words[1:] if module else words):
            if module:
                runpy.run_module(module, run_name="__main__")
            else:
                runpy.run_path(str(ROOT / words[0]), run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


@contextmanager
def _searched_path() -> Iterator[None]:
    with patch.object(sys, "path", list(sys.path)):
        yield


@contextmanager
def _own_registered() -> Iterator[None]:
    """Data sets that examples register are not known before, nor afterwards, as in another process."""
    with patch.dict(DatasetCatalog.data), patch.dict(MetadataCatalog.data):
        for catalog in (DatasetCatalog.data, MetadataCatalog.data):
            for name in [name for name in catalog if name.startswith("my_")]:
                del catalog[name]
        yield


def _blocks(page: str) -> list[Block]:
    return blocks((ROOT / page).read_text(encoding="utf-8"))


def yaml_blocks(page: str) -> list[str]:
    """The texts of a page's YAML blocks."""
    return [block.text for block in _blocks(page) if block.language == "yaml"]


def protocol_of(texts: Sequence[str], folder: Path) -> Path:
    """A protocol file of the parts that a page shows: top-level keys, and data sets that replace earlier ones."""
    content: dict[str, dict[str, object]] = {"DATA": {}}
    for text in texts:
        part = yaml.safe_load(re.sub(r"^  ", "", text, flags=re.MULTILINE) if text.startswith("  ") else text)
        content["DATA"] |= part.pop("DATA", {key: part.pop(key) for key in ("SOURCE", "TARGET", "VAL") if key in part})
        content |= part
    file = folder / "shown.yaml"
    file.write_text(yaml.safe_dump(content))
    return file
