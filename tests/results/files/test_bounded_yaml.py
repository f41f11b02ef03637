"""YAML that nests too deeply, or whose aliases stand for too much, ends in one line wherever it is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from ablations.study.space import read_space
from ablations.sweep.grid import read_grid
from benchmarks.config.keys import get_config
from benchmarks.config.overrides import parse_pairs
from benchmarks.config.protocol_file import protocol_values
from benchmarks.config.spec import RunSpec
from benchmarks.core.checkout import ROOT
from benchmarks.core.errors import ConfigError
from benchmarks.core.yaml_file import read_yaml
from benchmarks.launch.launcher import named_profile
from benchmarks.trained.opened_run import open_run
from results.files.bounded_yaml import MOST_LEVELS, BoundError, load
from results.files.errors import ResultsError
from results.files.plain_file import read_plain
from results.tables.run_table import with_settings

LAUGHS = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{{', '.join(f'k{k}: *a{i - 1}' for k in range(10))}}}\n" for i in range(1, 12)
)
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 12))
TOO_DEEP = {
    "lists": "[" * 4000 + "]" * 4000,
    "maps": "a: " + "{a: " * 4000 + "1" + "}" * 4000,
    "indented": "".join(f"{' ' * level}a:\n" for level in range(2000)),
    "dashes": "- " * 4000 + "a",
    "keys": "? " * 4000 + "a",
    "beside": "".join(f"{' ' * level}- a\n{' ' * level}-\n" for level in range(200)),
}
TOO_MUCH = {"maps": LAUGHS, "merged": MERGED}
ITSELF = "a: &a {b: *a}\n"


@pytest.mark.parametrize("text", TOO_DEEP.values(), ids=TOO_DEEP)
def test_too_many_levels_are_one_error(text: str) -> None:
    # PyYAML looks ahead by a thousand characters, and of 6.0.4 on refuses as many brackets itself.
    found = f"more than {MOST_LEVELS} levels of nesting|exceeded maximum nesting depth"
    with pytest.raises(yaml.YAMLError, match=found):
        load(text)


@pytest.mark.parametrize("text", TOO_MUCH.values(), ids=TOO_MUCH)
def test_aliases_that_stand_for_too_much_are_one_error(text: str) -> None:
    with pytest.raises(BoundError, match="stand for more than 100,000 values"):
        load(text)


def test_what_contains_itself_is_an_error() -> None:
    with pytest.raises(BoundError, match=r"\*a is part of what it stands for"):
        load(ITSELF)


@pytest.mark.parametrize(
    "text",
    [
        get_config().dump(),
        "a: &a {x: 1}\nb: {<<: *a, y: [1, 2]}\nc: [*a, *a]\n",
        "- - [a, {b: [c]}]\n- 2024-01-02\n- 1:30\n",
        "[" * (MOST_LEVELS - 1) + "1" + "]" * (MOST_LEVELS - 1),
        "",
    ],
)
def test_what_is_within_the_bounds_is_read_as_pyyaml_reads_it(text: str) -> None:
    assert load(text) == yaml.safe_load(text)


def test_every_protocol_and_grid_that_ships_is_within_the_bounds() -> None:
    root = ROOT
    rooms = ("benchmarks", "ablations", "slurm", "examples")
    files = [path for room in rooms for path in (root / room).rglob("*.yaml")]
    assert len(files) > 10
    for path in files:
        read_yaml(path, "a file that ships")


READERS: dict[str, Callable[[Path], object]] = {
    "protocol": lambda path: protocol_values(str(path)),
    "grid": lambda path: read_grid(str(path)),
    "profile": lambda path: named_profile(str(path)),
    "run": lambda path: open_run(str(path.parent), path.parent),
}


@pytest.mark.parametrize("text", [TOO_DEEP["lists"], LAUGHS, ITSELF], ids=["deep", "much", "itself"])
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_file_beyond_the_bounds_is_one_line_that_names_it(
    reader: Callable[[Path], object], text: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        reader(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("text", [TOO_DEEP["lists"], LAUGHS, ITSELF], ids=["deep", "much", "itself"])
def test_config_keys_as_columns_are_read_within_the_bounds(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    try:
        runs = with_settings(pd.DataFrame({"folder": [str(tmp_path)]}), ["SEED"])
    except ResultsError as error:
        assert "config.yaml" in str(error) and "\n" not in str(error)
    else:  # a table goes on without a config that cannot be read
        assert runs["SEED"][0] is None


@pytest.mark.parametrize("text", ["[" * 4000 + "]" * 4000, "&a [*a]"])
def test_key_value_words_are_read_within_the_bounds(text: str) -> None:
    with pytest.raises(ConfigError, match=r"SOLVER\.ITERS: cannot read the value"):
        parse_pairs(["SOLVER.ITERS", text])
    with pytest.raises(ConfigError, match="expected a number"):
        read_space(f"TERMS.MRM.WEIGHT=0.1..{text}", lambda values: RunSpec("streets", "dacs+mrm", None, 0, values))


@pytest.mark.slow
def test_a_table_of_65536_ids_is_read_in_one_pass(tmp_path: Path) -> None:
    path = tmp_path / "ids.yaml"
    path.write_text("IDS: {" + ", ".join(f"{stored}: road" for stored in range(65536)) + "}\n")
    assert len(read_yaml(path, "a protocol")["IDS"]) == 65536
    path.write_text("IDS: {" + ", ".join(f"{stored}: road" for stored in [*range(100), 7]) + "}\n")
    with pytest.raises(ConfigError, match="7 twice in one mapping"):
        read_yaml(path, "a protocol")


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_plain_file_is_not_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=rf"p\.yaml: cannot be read \(.*it is a {kind}, no plain file"):
        read_yaml(path, "a protocol")


def test_a_file_beyond_its_size_is_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 2**20)
    assert len(read_plain(tmp_path / "a", 2**20)) == 2**20
    with pytest.raises(OSError, match="more than 1048575 bytes"):
        read_plain(tmp_path / "a", 2**20 - 1)
