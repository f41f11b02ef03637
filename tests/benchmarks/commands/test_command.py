"""``benchmarks/run.py``: what the user got wrong ends in one line and exit code 2; what is run ends in a table."""

from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from detectron2.config import CfgNode
from full_disk import refuse_new_files
from record_files import write_record

from benchmarks.cli.given import QUICK, method_names, run_overrides, seeds
from benchmarks.config.run import Run
from benchmarks.core.checkout import PACKAGES, ROOT, check_checkout
from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError, RunLocked, RunRefused
from benchmarks.engine.runner import RunWatcher
from benchmarks.launch import compare, here
from benchmarks.launch.launcher import Launcher
from benchmarks.launch.run_checks import check_runs
from datasets.base.errors import DataError
from methods.base.errors import MethodError
from results.files.errors import ResultsError
from results.records.record import Record

SCRIPT = ROOT / "benchmarks" / "run.py"


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the command; importing it changes sys.path, which is put back."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    import benchmarks.run

    yield benchmarks.run


@pytest.fixture
def command(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """The command in this process: ``command("--methods", "dacs")``, without data and with its runs below tmp_path."""
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["benchmarks/run.py", *words])
        with pytest.raises(SystemExit) as ended:
            exit_in_one_line(run.main)
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, out, err)

    return call


def assert_one_line(ended: Ended, *parts: str) -> None:
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("error: ") and ended.err.endswith("\n") and len(ended.err.splitlines()) == 1
    for part in parts:
        assert part in ended.err


def subprocess_of(*words: str, cwd: Path, **environment: str) -> Ended:
    inherited = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "DETECTRON2_DATASETS")}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        cwd=cwd,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def stray_package(folder: Path, name: str) -> Path:
    """Another distribution's package of that name; returns what to put on the path."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text("")
    return folder


# As a process of its own


def table(folder: Path, kind: str) -> Path:
    """The one table of this kind that commands have left in ``folder``/out."""
    (path,) = (folder / "out").glob(f"streets-daformer-lite0-*.{kind}")
    return path


def test_list_from_another_folder_beside_a_package_of_the_same_name(tmp_path: Path) -> None:
    """The checkout comes before what PYTHONPATH names: a stray ``datasets`` there is not in the way."""
    ended = subprocess_of("--list", cwd=tmp_path, PYTHONPATH=str(stray_package(tmp_path / "site", "datasets")))
    assert (ended.code, ended.err) == (0, "")
    listed = [line.split()[0] for line in ended.out.splitlines() if line and not line.startswith("methods (")]
    for name in ("dacs", "source-only", "target-only", "+mic", "+mrm", "daformer-lite0", "streets", "gta-cityscapes"):
        assert listed.count(name) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_unknown_method_as_a_process(tmp_path: Path) -> None:
    ended = subprocess_of("--methods", "dacs,mrn", cwd=tmp_path)
    assert_one_line(ended, "unknown method 'mrn'; did you mean 'mrm'?")
    assert not (tmp_path / "runs").exists()


def test_a_stray_package_that_was_imported_first_is_named(tmp_path: Path) -> None:
    """As a .pth file or sitecustomize of another distribution does: ours can no longer be imported."""
    stray = stray_package(tmp_path / "site", "datasets")
    (stray / "sitecustomize.py").write_text("import datasets\n")
    ended = subprocess_of("--list", cwd=tmp_path, PYTHONPATH=str(stray))
    assert_one_line(ended, "'datasets'", str(stray / "datasets"), str(ROOT / "datasets"))


# What the user got wrong


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--methods dacs,dcs", "unknown method 'dcs'; did you mean 'dacs'?"),
        ("--methods dacs+mixp", "unknown method 'mixp' in 'dacs+mixp'; did you mean 'mixup'?"),
        ("--methods source-only+mrm", "'mrm' needs pseudo-labels, which 'source-only' does not make"),
        ("--methods dacs --network daformer-lit0", "unknown network 'daformer-lit0'; did you mean 'daformer-lite0'?"),
        ("--methods dacs --protocol gta-cityscape", "unknown protocol 'gta-cityscape'; did you mean 'gta-cityscapes'?"),
        ("--methods dacs SOLVER.ITER 4", "unknown key SOLVER.ITER; did you mean SOLVER.ITERS?"),
        ("--methods dacs SOLVER.ITERS four", "SOLVER.ITERS is 'four', expected a whole number"),
        ("--methods dacs SOLVER.ITERS", "'SOLVER.ITERS' has no value"),
        ("--methods dacs --iters 0", "SOLVER.ITERS is 0, expected at least 1"),
        ("--methods dacs DEVICE nonsense", "DEVICE 'nonsense' cannot be used"),
        ("", "--methods is empty, expected recipes such as dacs,mic,mrm (--list"),
        ("--methods=", "--methods is empty"),
        ("--methods ,", "--methods is empty"),
        ("--methods dacs --seeds=", "--seeds is '', expected whole numbers such as 0,1,2"),
        ("--methods dacs --seeds zero", "--seeds is 'zero', expected"),
        ("--methods dacs --seeds 0,,1", "--seeds is '0,,1', expected"),
        ("--methods dacs --seeds 0.5", "--seeds is '0.5', expected"),
        ("--methods dacs --seeds=-1,0", "--seeds is '-1,0', expected"),
        ("--methods dacs --quick --protocol gta-cityscapes", "--quick runs on streets alone, not on gta-cityscapes"),
        (
            "--methods dacs --protocol gta-cityscapes",
            "protocol gta-cityscapes reads data from disk: give --data-root or set $DETECTRON2_DATASETS",
        ),
        ("--methods dacs --protocol gta-cityscapes --data-root nowhere", "nowhere/gta/labels: no such folder"),
        ("--methods dacs DATA.STREETS.SOURCE_IMAGES -3", "SOURCE_IMAGES is -3, expected a finite number"),
    ],
)
def test_what_cannot_be_run_is_told_in_one_line(command: Command, tmp_path: Path, words: str, line: str) -> None:
    assert_one_line(command(*words.split()), line)
    assert list(tmp_path.iterdir()) == []  # nothing was begun


def test_the_last_of_several_methods_is_checked_before_the_first_runs(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here, "run_one", lambda *_: pytest.fail("a run was begun"))
    assert_one_line(command("--methods", "dacs,mic,mrn"), "did you mean 'mrm'?")


def test_the_environment_says_where_data_lies(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "by-environment"))
    words = ("--methods", "dacs", "--protocol", "gta-cityscapes")
    assert_one_line(command(*words), f"{tmp_path}/by-environment/gta/labels: no such folder", "GTA5")
    assert_one_line(command(*words, "--data-root", "by-option"), "error: by-option/gta/labels: no such folder")


@pytest.mark.parametrize("words", ["--methods dacs --iters many", "--method dacs --nonsense", "--seeds"])
def test_an_option_that_is_not_understood_ends_with_its_name(command: Command, words: str) -> None:
    """By argparse, whose usage comes before the line."""
    ended = command(*words.split())
    assert (ended.code, ended.out) == (2, "")
    last = ended.err.splitlines()[-1]
    assert last.startswith("benchmarks/run.py: error: ") and words.split()[-2 if "many" in words else -1] in last
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("error", [ConfigError, DataError, MethodError, ResultsError, RunLocked, RunRefused])
def test_each_rooms_error_is_one_line(error: type[Exception], capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> int:
        raise error("this file is broken")

    with pytest.raises(SystemExit) as ended:
        exit_in_one_line(fails)
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", "error: this file is broken\n")


def test_an_error_that_names_what_others_wrote_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> int:
        raise ConfigError("a\x1b[2J\nb\u202ec.yaml: no such file")

    with pytest.raises(SystemExit):
        exit_in_one_line(fails)
    assert capsys.readouterr().err == "error: a\ufffd[2J b\ufffdc.yaml: no such file\n"


def test_an_interrupt_says_how_to_go_on_and_a_bug_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def raises(error: BaseException) -> Callable[[], int]:
        def fails() -> int:
            raise error

        return fails

    with pytest.raises(SystemExit) as ended:
        exit_in_one_line(raises(KeyboardInterrupt()))
    assert ended.value.code == 130
    told = "interrupted: the same command goes on where it can, a run from its last checkpoint\n"
    assert capsys.readouterr().err == told
    with pytest.raises(ZeroDivisionError):
        exit_in_one_line(raises(ZeroDivisionError()))
    with pytest.raises(SystemExit) as ended:
        exit_in_one_line(lambda: 1)
    assert ended.value.code == 1


# Packages of the same names


def test_the_checkouts_own_packages_pass() -> None:
    check_checkout()
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(PACKAGES)


@pytest.mark.parametrize("name", ["datasets", "results"])
def test_a_stray_package_earlier_on_the_path_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(stray_package(tmp_path, name))
    monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigError) as caught:
        check_checkout()
    line = str(caught.value)
    assert f"package '{name}' is imported from {tmp_path / name}, expected {ROOT / name}" in line
    assert len(line.splitlines()) == 1


def test_a_folder_without_init_is_not_in_the_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "datasets")
    check_checkout()
    (tmp_path / "datasets" / "__init__.py").write_text("")  # now it is
    importlib.invalidate_caches()
    with pytest.raises(ConfigError, match="package 'datasets' is imported from"):
        check_checkout()


# Options


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", {}),
        ("--methods dacs --seeds 1", {}),
        ("--iters 7 SOLVER.BATCH 3 --weights none TERMS.MRM.RATIO 0.6 --data-root /data",
         {"SOLVER.ITERS": 7, "SOLVER.BATCH": 3, "WEIGHTS": "none", "TERMS.MRM.RATIO": 0.6, "DATA.ROOT": "/data"}),
        ("--iters 7 SOLVER.ITERS 9", {"SOLVER.ITERS": 9}),
    ],
)  # fmt: skip
def test_options_and_pairs_become_keys_and_pairs_have_the_last_word(
    run: ModuleType, words: str, expected: dict[str, Any]
) -> None:
    assert run_overrides(run.parse_arguments(words.split())) == expected
    quick = run_overrides(run.parse_arguments(["--quick", *words.split()]))
    assert quick == QUICK | expected


def test_names_and_seeds() -> None:
    assert method_names(" dacs, mic,,dacs+mrm,") == ["dacs", "mic", "dacs+mrm"]
    assert seeds("2,0,1,0") == [2, 0, 1]
    assert seeds(" 3 ") == [3]


# Runs, without training


class Runs:
    """Stands in for run_one: writes the record that a run of this method and seed would end with."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.scores: dict[str, float | None] = {}  # by "method seed"; 50 for what is not named
        self.endings: dict[str, Mapping[str, Any]] = {}
        self.raised: dict[str, Exception] = {}
        self.checked: list[list[str]] = []  # names of each look before the first run

    def __call__(self, run: Run, watcher: RunWatcher, force: bool = False, *_: Any) -> Record:
        cfg, folder = run.cfg, run.folder
        name = f"{cfg.METHOD} {cfg.SEED}"
        self.made.append(name)
        if name in self.raised:
            raise self.raised[name]
        watcher.started(0)
        watcher.step(cfg.SOLVER.ITERS, {"loss_supervised": 1.0})
        record: dict[str, Any] = {
            "id": folder.name,
            "spec": {"protocol": cfg.PROTOCOL, "method": cfg.METHOD, "network": cfg.NETWORK, "seed": cfg.SEED},
            "oracle": cfg.METHOD == "target-only",
            "classes": cfg.TEST.CLASSES,
            "iterations": cfg.SOLVER.ITERS,
            "max_iterations": cfg.SOLVER.ITERS,
            "precision": cfg.SOLVER.PRECISION,
            "hardware": {"name": "CPU"},
            "reason": "",
            "status": "finished",
            "wall_seconds": 61.0,
            "seconds_per_iteration": 0.5,
            "peak_memory_mib": 700.0,
            "result": {"student": {"miou": self.scores.get(name, 50.0)}},
        }
        record |= self.endings.get(name, {})
        folder.mkdir(parents=True, exist_ok=True)
        write_record(folder, record)
        return Record.of(record)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    fake = Runs()
    monkeypatch.setattr(here, "run_one", fake)
    # No data is drawn.
    monkeypatch.setattr(
        compare, "check_runs", lambda runs, _: fake.checked.append([f"{run.cfg.METHOD} {run.cfg.SEED}" for run in runs])
    )
    return fake


def test_each_method_and_seed_is_run_and_the_table_compares_them(command: Command, runs: Runs, tmp_path: Path) -> None:
    runs.scores = {"dacs 0": 40.0, "dacs 1": 42.0, "dacs+mrm 0": 43.0, "dacs+mrm 1": 46.0}
    ended = command("--methods", "dacs,mrm", "--seeds", "0,1", "--output", "out", "--iters", "20")
    assert (ended.code, ended.err) == (0, "")
    assert runs.made == ["dacs 0", "dacs 1", "dacs+mrm 0", "dacs+mrm 1"]
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "dacs 41.0 ± 1.4 2 - - - 20 0.500 700 MiB" in lines
    assert "dacs+mrm 44.5 ± 2.1 2 +3.5 ± 0.7 [-2.9, +9.9] 2 of 2 20 0.500 700 MiB" in lines
    assert "dacs+mrm seed 1: mIoU 46.0 in 1:01" in lines
    caption = next(line for line in lines if line.startswith("streets, daformer-lite0, 19 classes."))
    assert "last iterate" in caption and "mean nothing" not in caption
    assert "Differences to dacs are paired by seed" in caption
    assert caption in table(tmp_path, "md").read_text(encoding="utf-8")
    assert table(tmp_path, "csv").is_file()
    assert len(list((tmp_path / "out/streets/dacs+mrm/daformer-lite0").iterdir())) == 2


def test_quick_says_that_its_numbers_mean_nothing(command: Command, runs: Runs, tmp_path: Path) -> None:
    ended = command("--methods", "dacs", "--quick", "--output", "out")
    assert ended.code == 0
    for text in (ended.out, table(tmp_path, "md").read_text(encoding="utf-8")):
        assert "--quick: these numbers mean nothing" in text


def test_two_names_of_one_recipe_are_one_run(command: Command, runs: Runs) -> None:
    assert command("--methods", "mrm,dacs+mrm,mrm", "--output", "out").code == 0
    assert runs.made == ["dacs+mrm 0"]


def test_finished_runs_are_not_made_again_unless_forced(command: Command, runs: Runs) -> None:
    words = ("--methods", "dacs,mic", "--output", "out")
    runs.endings["dacs+mic 0"] = {"status": "failed", "reason": "RuntimeError: no space", "result": None}
    first = command(*words)
    assert first.code == 1
    runs.endings.clear()
    again = command(*words)
    assert again.code == 0
    assert runs.made == ["dacs 0", "dacs+mic 0", "dacs+mic 0"]
    assert "dacs seed 0: finished before, mIoU 50.0" in again.out
    assert runs.checked == [["dacs 0", "dacs+mic 0"], ["dacs+mic 0"]]  # only what is to be made
    assert command(*words).code == 0
    assert len(runs.checked) == 2  # a table alone needs neither data nor weights
    assert command(*words, "--force").code == 0
    assert runs.made[3:] == ["dacs 0", "dacs+mic 0"]
    assert command(*words, "NUM_WORKERS", "1", "CHECKPOINT_PERIOD", "7").code == 0
    assert len(runs.made) == 5
    assert command(*words, "SOLVER.BATCH", "3").code == 0  # another run
    assert len(runs.made) == 7


def test_a_run_that_fails_does_not_stop_the_others(command: Command, runs: Runs) -> None:
    runs.endings["dacs 0"] = {"status": "diverged", "reason": "loss_mixed is nan at iteration 3", "result": None}
    ended = command("--methods", "dacs,mic", "--output", "out")
    assert ended.code == 1
    assert runs.made == ["dacs 0", "dacs+mic 0"]
    told = next(line for line in ended.out.splitlines() if line.startswith("dacs seed 0: diverged"))
    assert "loss_mixed is nan at iteration 3 (see out/streets/dacs/daformer-lite0/" in told and "log.txt)" in told
    rows = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "dacs - - - - - 1 diverged" in rows
    assert "dacs+mic 50.0 - 350 0.500 700 MiB" in rows


def test_a_run_that_another_process_has_is_told_in_one_line(command: Command, runs: Runs) -> None:
    runs.raised["dacs 0"] = RunLocked("out/x is being run by process 3 on there")
    ended = command("--methods", "dacs", "--output", "out")
    assert (ended.code, ended.err) == (2, "error: out/x is being run by process 3 on there\n")


def test_a_run_that_is_refused_is_left_out_the_others_are_made_and_the_exit_code_is_2(
    command: Command, runs: Runs
) -> None:
    """As one that was begun with other images: another process may have done so since the command began."""
    line = "out/x: the run was begun with other images of DATA.SOURCE (game)"
    runs.raised["dacs 0"] = RunRefused(line)
    ended = command("--methods", "dacs,mic", "--output", "out")
    assert (ended.code, ended.err) == (2, "")
    assert f"dacs seed 0: left out, {line}" in ended.out.splitlines()
    assert "dacs+mic 50.0 350 0.500 700 MiB" in [" ".join(row.split()) for row in ended.out.splitlines()]
    ended = command("--methods", "dacs", "--output", "out")
    assert (ended.code, ended.err) == (2, f"error: {line}\n")


def test_a_forced_run_that_could_not_begin_is_not_told_as_made(command: Command, runs: Runs) -> None:
    """The table shows the one of before, which is finished."""
    words = ("--methods", "dacs,mic", "--output", "out")
    assert command(*words).code == 0
    runs.raised["dacs 0"] = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "log.txt")
    ended = command(*words, "--force")
    assert ended.code == 1 and "dacs seed 0: left out, " in ended.out


def test_a_run_that_a_full_disk_has_no_place_for_does_not_stop_the_others(
    command: Command, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first leaves no record; the second cannot even begin."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "log.txt")

    def no_place(run: Run, watcher: RunWatcher, force: bool = False, *_: Any) -> Record:
        if run.cfg.METHOD == "dacs":
            return Record.of({"status": "failed", "reason": f"OSError: {full.strerror}"})
        return runs(run, watcher, force)

    monkeypatch.setattr(here, "run_one", no_place)
    runs.raised["dacs+mic 0"] = full
    ended = command("--methods", "dacs,mic,mrm", "--output", "out")
    assert (ended.code, ended.err) == (1, "")
    rows = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "dacs seed 0: failed, OSError: No space left on device (see out/streets/dacs/" in ended.out
    assert any(row.startswith("dacs+mic seed 0: left out, ") and full.strerror in row for row in rows)
    assert "dacs+mrm 50.0 350 0.500 700 MiB" in rows
    assert command("--methods", "dacs", "--output", "out").code == 1  # no table, and no traceback either


def test_an_output_that_cannot_be_written_is_told_in_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is there, as a folder of another user; the runs that are finished in it are shown."""
    monkeypatch.setattr(compare, "check_runs", lambda *_: None)
    mkdir = Path.mkdir
    (tmp_path / "out").mkdir()

    def refused(path: Path, *arguments: Any, **options: Any) -> None:
        if "streets" in path.parts:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refused)
    ended = command("--methods", "dacs,mic", "--output", "out")
    assert ended.code == 2
    assert ended.err.startswith("error: out/streets/dacs/") and ended.err.endswith("locked: Permission denied\n")
    assert len(ended.err.splitlines()) == 1


def test_a_run_without_a_score_is_still_in_the_table(command: Command, runs: Runs) -> None:
    """No scored class occurs in the labels: the runner writes mIoU None."""
    runs.scores["dacs 0"] = None
    assert "dacs" in command("--methods", "dacs", "--output", "out").out


@pytest.mark.slow
def test_weights_are_checked_before_the_first_run(small_config: Callable[..., CfgNode]) -> None:
    run = Run.at(Path(), small_config("mrm", overrides={"WEIGHTS": "nowhere.pth"}))
    with pytest.raises(MethodError, match=r"nowhere\.pth"):
        check_runs([run], Launcher())


def test_words_of_settings_are_checked_as_the_spec_is_resolved(small_config: Callable[..., CfgNode]) -> None:
    with pytest.raises(ConfigError, match=r"TERMS\.MRM\.VIEW is 'tarjet', .*did you mean 'target'\?"):
        small_config("mrm", overrides={"TERMS.MRM.VIEW": "tarjet"})


def test_an_output_that_is_a_file_is_told_in_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compare, "check_runs", lambda *_: None)
    (tmp_path / "out").write_text("")
    assert_one_line(command("--methods", "dacs", "--output", "out", "--force"), "out")


def test_a_network_pair_is_not_ignored_beside_the_option(command: Command, runs: Runs, tmp_path: Path) -> None:
    words, pair = ("--methods", "dacs", "--output", "out"), ("NETWORK", "daformer-mitb0")
    assert_one_line(command(*words, "--network", "daformer-lite0", *pair), "NETWORK is set by --network already")
    assert runs.made == [] and not (tmp_path / "out").exists()
    assert command(*words, *pair).code == 0  # alone it is heard
    assert (tmp_path / "out/streets/dacs/daformer-mitb0").is_dir()


def test_a_full_disk_takes_no_table_away(
    command: Command, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All runs are over, so that their folders are read alone."""
    words = ("--methods", "dacs,mrm", "--output", "out", "--iters", "20")
    assert command(*words).code == 0
    for kind in ("csv", "md"):
        table(tmp_path, kind).unlink()
    refuse_new_files(monkeypatch)
    ended = command(*words)
    assert ended.code == 2
    assert ended.err == "error: --output out: expected a folder that can be written (No space left on device)\n"
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "dacs+mrm 50.0 +0.0 20 0.500 700 MiB" in lines and "table:" not in ended.out
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"streets", "index.csv", ".index.lock"}
