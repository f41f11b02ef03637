"""``~`` is the home folder wherever a path is given: shells leave it in ``--output=~/runs`` and never see a file's."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from own_files import Own

import ablations.cost
import ablations.run
import ablations.search
import benchmarks.check_data
import benchmarks.evaluate
import benchmarks.export
import benchmarks.gpu_check
import benchmarks.gpus_speed
import benchmarks.predict
import benchmarks.run
import benchmarks.speed
import benchmarks.status
import benchmarks.step_memory
import datasets.streets.__main__ as streets
import results.collect
from benchmarks.config.keys import flatten, get_config
from benchmarks.config.overrides import apply, parse_pairs
from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.data.from_config import data_root
from benchmarks.trained.image_files import find_images

RUNS = ("--protocol", "--output", "--data-root", "--profile")


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The home folder, in which nothing is, nor in the working folder."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def values(parsed: Any, option: str) -> list[str]:
    found = getattr(parsed, option.lstrip("-").replace("-", "_"))
    return [str(each) for each in found] if isinstance(found, list) else [str(found)]


@pytest.mark.parametrize(
    ("module", "options", "places"),
    [
        (benchmarks.run, (*RUNS, "--weights"), []),
        (benchmarks.predict, ("--run", "--runs", "--module", "--output", "--data-root"), ["images"]),
        (benchmarks.evaluate, ("--run", "--runs", "--module", "--protocol", "--checkpoint", "--data-root"), []),
        (benchmarks.export, ("--run", "--runs", "--module", "--output"), []),
        (benchmarks.check_data, ("--protocol", "--data-root", "--out"), []),
        (benchmarks.gpus_speed, ("--protocol", "--data-root"), []),
        (benchmarks.step_memory, ("--protocol",), []),
        (benchmarks.gpu_check, ("--out",), []),
        (benchmarks.speed, ("--protocol", "--data", "--out"), []),
        (ablations.run, RUNS, ["grid"]),
        (ablations.search, (*RUNS, "--storage"), []),
        (ablations.cost, ("--protocol",), []),
        (benchmarks.status, ("--output", "--module", "--profile"), ["runs"]),
    ],
    ids=lambda value: value.__name__ if isinstance(value, ModuleType) else "",
)
def test_options_and_arguments_that_are_paths(
    home: Path, module: ModuleType, options: tuple[str, ...], places: list[str]
) -> None:
    action = ["log"] if module is benchmarks.status else []
    words = [f"{option}=~/a b.yaml" for option in options] + ["~/*.png"] * len(places)
    parsed = module.parse_arguments([*action, *words])
    assert {option: values(parsed, option) for option in options} == {key: [f"{home}/a b.yaml"] for key in options}
    assert [values(parsed, place) for place in places] == [[f"{home}/*.png"]] * len(places)
    stays = module.parse_arguments([*action, *(f"{option}=~no-such-user/a" for option in options)])
    assert {option: values(stays, option) for option in options} == {key: ["~no-such-user/a"] for key in options}


@pytest.mark.slow
def test_folders_that_are_collected_and_drawn(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert results.collect.main(["~/runs"]) == 2
    assert f"{home}/runs: no such folder" in capsys.readouterr().err
    few = ["--size=64x32", "--source-images=4", "--target-images=4", "--val-images=1", "--workers=1"]
    assert streets.main(["--out=~/drawn", *few]) == 0
    assert streets.main(["--sheet", "~/sheet.png", "~/drawn"]) == 0
    assert (home / "drawn/gta").is_dir() and (home / "sheet.png").is_file()


def test_images_by_a_pattern_that_no_shell_has_resolved(home: Path) -> None:
    (home / "a.png").touch()
    words = benchmarks.predict.parse_arguments(["--run=x", "~/*.png"]).images
    assert find_images(words, Path("predictions")).images == [home / "a.png"]


def test_config_keys_that_are_paths(home: Path) -> None:
    keys = ["WEIGHTS", "DATA.ROOT", "DATA.MODULE"]
    keys += [f"DATA.{role}.{key}" for role in ("SOURCE", "TARGET", "VAL") for key in ("FOLDER", "IMAGES", "LABELS")]
    cfg = get_config()
    apply(cfg, parse_pairs([f"{key}=~/{key}" for key in keys]), "KEY VALUE")
    found = flatten(cfg)
    assert {key: found[key] for key in keys} == {key: f"{home}/{key}" for key in keys}
    apply(cfg, {"WEIGHTS": "~no-such-user/a", "DATA.ROOT": "a/~/b", "DATA.SOURCE.NAME": "~"}, "KEY VALUE")
    assert (cfg.WEIGHTS, cfg.DATA.ROOT, cfg.DATA.SOURCE.NAME) == ("~no-such-user/a", "a/~/b", "~")


def test_a_run_has_the_id_of_its_absolute_paths(home: Path) -> None:
    (home / "a.pth").write_bytes(b"weights")

    def of(**overrides: str) -> str:
        return run_id(RunSpec("streets", "dacs", overrides=overrides).resolve())

    assert of(WEIGHTS="~/a.pth") == of(WEIGHTS=str(home / "a.pth")) != of(WEIGHTS="~/b.pth")


def test_a_protocol_below_home_reads_data_there(home: Path) -> None:
    own = Own(home / "mine")
    own.data["SOURCE"]["FOLDER"], own.data["ROOT"] = "~/mine/game", "~/mine"
    own.check()
    own.data["SOURCE"]["IMAGES"] = "~/mine/game/images"  # as of every whole path
    expected = f"DATA.SOURCE.IMAGES is '{home}/mine/game/images', expected a folder or a pattern below FOLDER"
    assert own.line().startswith(expected)


@pytest.mark.slow
def test_the_environment_says_where_data_and_caches_lie(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", "~/data")
    assert data_root(RunSpec("gta-cityscapes", "dacs").resolve()) == home / "data"
    small = {"SIZE": (64, 32), "SOURCE_IMAGES": 1, "TARGET_IMAGES": 1, "VAL_IMAGES": 1}
    cfg = RunSpec("streets", "dacs", overrides={f"DATA.STREETS.{key}": value for key, value in small.items()}).resolve()
    monkeypatch.setenv("SEGSHIFT_CACHE", "~/own")
    assert data_root(cfg).is_relative_to(home / "own")
    monkeypatch.delenv("SEGSHIFT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "~/caches")
    assert data_root(cfg).is_relative_to(home / "caches/segshift")
