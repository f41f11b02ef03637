"""--launcher and the options beside it, of the three commands that make runs; the options of benchmarks/status.py."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_queue import Queue, make
from record_files import write_record

from ablations import run as grid
from ablations import search
from benchmarks import run, status
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder
from benchmarks.core.checkout import ROOT
from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError
from benchmarks.launch.dry_run import dry_run
from benchmarks.launch.launcher import Launcher, read_launcher, read_profile_options
from slurm.base.errors import LauncherError
from slurm.jobs.profile import Profile
from slurm.processes import local

Parser = Callable[[list[str]], argparse.Namespace]
COMMANDS: dict[str, Parser] = {
    "run": run.parse_arguments,
    "grid": grid.parse_arguments,
    "search": search.parse_arguments,
}
each_command = pytest.mark.parametrize("parse", COMMANDS.values(), ids=COMMANDS.keys())
SLURM = ["--launcher", "slurm"]


@pytest.fixture
def profile(tmp_path: Path) -> str:
    path = tmp_path / "mine.yml"
    path.write_text(
        "partition: gpu\ntime: 12:00:00\narray_parallelism: 6\nsetup: module load cuda\n"
        "sbatch: {exclude: 'n[1-3]', mail_type: FAIL}\n"
    )
    return str(path)


def refused(parse: Parser, words: list[str]) -> str:
    with pytest.raises((ConfigError, LauncherError)) as error:
        read_launcher(parse(words))
    assert "\n" not in str(error.value)
    return str(error.value)


# Here


@pytest.mark.parametrize("name", ["run", "grid"])
def test_by_default_runs_are_made_in_this_process(name: str) -> None:
    assert read_launcher(COMMANDS[name]([])) == Launcher("inline", 1, 1, Profile(), True)


def test_by_default_a_search_makes_its_trials_in_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_cores", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert read_launcher(search.parse_arguments([])) == Launcher("local", 2, 1)
    with pytest.raises(SystemExit):
        search.parse_arguments(["--launcher", "inline"])
    with pytest.raises(SystemExit):
        search.parse_arguments([*SLURM, "--no-wait"])  # it has to see how trials end


@each_command
def test_local_takes_how_many_at_a_time(parse: Parser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert read_launcher(parse(["--launcher", "local"])).parallel == 3
    assert read_launcher(parse(["--launcher", "local", "--parallel", "5"])) == Launcher("local", 5, 1)
    assert "--parallel is 0, expected at least 1" in refused(parse, ["--launcher", "local", "--parallel", "0"])
    assert "--gpus is 0, expected at least 1" in refused(parse, ["--launcher", "local", "--gpus", "0"])


@pytest.mark.parametrize("name", ["run", "grid"])
def test_parallel_is_not_for_inline(name: str) -> None:
    assert refused(COMMANDS[name], ["--parallel", "2"]) == "--parallel is 2, expected --launcher local with it"


OF_SLURM = {
    "--profile": "example", "--partition": "gpu", "--account": "lab", "--qos": "high", "--constraint": "a100",
    "--nodes": "2", "--gpu-type": "a100", "--cpus": "8", "--memory": "32G", "--time": "12:00:00",
    "--array-parallelism": "4", "--sbatch": "exclude=n1",
}  # fmt: skip


@each_command
@pytest.mark.parametrize("option", OF_SLURM)
@pytest.mark.parametrize("kind", ["", "local"])
def test_options_of_slurm_without_it_are_refused_in_one_line(parse: Parser, option: str, kind: str) -> None:
    launcher = ["--launcher", kind] if kind else []
    line = refused(parse, [*launcher, option, OF_SLURM[option]])
    assert line == f"{option} is an option of slurm, expected --launcher slurm with it"


def test_no_wait_without_slurm_is_refused() -> None:
    assert "--no-wait is an option of slurm, expected" in refused(run.parse_arguments, ["--no-wait"])
    assert read_launcher(run.parse_arguments([*SLURM, "--no-wait"])).wait is False


@pytest.mark.parametrize("words", [["--nodes", "0"], ["--cpus", "0"], ["--partition", ""]])
def test_options_of_slurm_that_are_zero_or_empty_are_refused_too(words: list[str]) -> None:
    assert "is an option of slurm, expected --launcher slurm with it" in refused(run.parse_arguments, words)


# SLURM


@each_command
def test_slurm_has_the_defaults_of_a_profile(parse: Parser) -> None:
    made = read_launcher(parse(SLURM))
    assert made.kind == "slurm" and made.profile == Profile() and made.gpus == 1 and made.wait
    assert made.parallel > 1  # of a search, trials at a time
    assert read_launcher(parse([*SLURM, "--array-parallelism", "7"])).parallel == 7
    assert read_launcher(parse([*SLURM, "--array-parallelism", "7", "--parallel", "3"])).parallel == 3
    assert "--parallel is 0" in refused(parse, [*SLURM, "--parallel", "0"])


@each_command
def test_each_option_replaces_its_key(parse: Parser, profile: str) -> None:
    plain = read_launcher(parse([*SLURM, "--profile", profile])).profile
    assert (plain.partition, plain.minutes, plain.array_parallelism) == ("gpu", 720, 6)
    assert plain.setup == ("module load cuda",) and plain.sbatch == {"exclude": "n[1-3]", "mail-type": "FAIL"}
    words = [word for option, value in OF_SLURM.items() if option not in ("--profile", "--sbatch")
             for word in (option, value)]  # fmt: skip
    made = read_launcher(parse([*SLURM, "--profile", profile, "--gpus", "3", *words]))
    expected = Profile(
        partition="gpu", account="lab", qos="high", constraint="a100", nodes=2, gpus=3, gpu_type="a100", cpus=8,
        memory="32G", time="12:00:00", array_parallelism=4, setup=plain.setup, sbatch=plain.sbatch,
    )  # fmt: skip
    assert made.profile == expected and made.gpus == 3


@each_command
def test_the_forms_of_sbatch(parse: Parser, profile: str) -> None:
    forms = [
        "--sbatch", "exclusive", "--sbatch", "exclude=n9", "--sbatch=--mail_type=END", "--sbatch", "nice=5",
        "--sbatch", "comment=a=b c",
    ]  # fmt: skip
    made = read_launcher(parse([*SLURM, "--profile", profile, *forms])).profile
    expected = {"exclude": "n9", "mail-type": "END", "exclusive": True, "nice": 5, "comment": "a=b c"}
    assert {name: str(value) for name, value in made.sbatch.items()} == {k: str(v) for k, v in expected.items()}
    assert made.partition == "gpu"


@each_command
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--sbatch", "qos=x"], "--sbatch: sbatch is {'qos': 'x'}, expected of qos the key qos instead"),
        (["--sbatch", "=x"], "--sbatch: sbatch is {'': 'x'}, expected"),
        (["--time", "soon"], "--time: time is 'soon', expected a time such as"),
        (["--time", "1"], "--time: signal_seconds is 120, expected less than time, which is 1"),
        (["--memory", "much"], "--memory: memory is 'much', expected a number with its unit, such as 32G"),
        (["--nodes", "0"], "--nodes: nodes is 0, expected a whole number, at least 1"),
        (["--gpus", "-1"], "--gpus: gpus is -1, expected a whole number, at least 0"),
        (["--array-parallelism", "0"], "--array-parallelism: array_parallelism is 0, expected a whole number"),
        (["--gpus", "0", "--gpu-type", "a100"], "--gpu-type: gpu_type is 'a100', but gpus is 0"),
        (["--account", ""], "--account: account is '', expected a name"),
        (["--profile", "exampel"], "--profile exampel: no such profile, expected the path of a YAML file, or one of"),
        (["--profile", "no/such.yaml"], "no/such.yaml: no such file, expected a profile in YAML"),
    ],
)
def test_bad_values_are_one_line_that_begins_with_the_option(parse: Parser, words: list[str], line: str) -> None:
    assert refused(parse, [*SLURM, *words]).startswith(line)


def test_an_unknown_profile_names_those_that_ship() -> None:
    line = refused(run.parse_arguments, [*SLURM, "--profile", "mine"])
    assert line.endswith("one of example, local-cluster")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("partitoin: gpu\n", "unknown key partitoin; did you mean partition?"),
        ("gpus: two\n", "gpus is 'two', expected a whole number, at least 0"),
        ("gpus: 1\ngpus: 2\n", "expected YAML, found 'gpus' twice in one mapping"),
        ("- gpus\n", "expected keys and values of a profile, found list"),
        ("gpus: [\n", "expected YAML, found"),
    ],
)
def test_a_bad_profile_file_is_one_line_that_begins_with_its_path(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    assert refused(run.parse_arguments, [*SLURM, "--profile", str(path)]).startswith(f"{path}: {words}")


def test_an_empty_profile_file_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("# nothing yet\n")
    words = [*SLURM, "--profile", str(tmp_path / "p.yaml")]
    assert read_launcher(run.parse_arguments(words)).profile == Profile()


def test_options_that_make_sense_together_are_taken(tmp_path: Path) -> None:
    (tmp_path / "cpu.yaml").write_text("gpus: 0\n")
    words = [*SLURM, "--profile", str(tmp_path / "cpu.yaml"), "--nodes", "2", "--gpus", "4"]
    assert read_launcher(run.parse_arguments(words)).profile.ranks == 8


def test_a_number_with_a_leading_zero_is_kept() -> None:
    words = [*SLURM, "--sbatch", "reservation=0123"]
    assert str(read_launcher(run.parse_arguments(words)).profile.sbatch["reservation"]) == "0123"


def test_an_account_of_digits_in_a_profile_is_kept_or_refused(tmp_path: Path) -> None:
    """0123 without quotes is 83 in YAML 1.1: whose account is that?"""
    (tmp_path / "p.yaml").write_text("account: 0123\n")
    try:
        made = read_launcher(run.parse_arguments([*SLURM, "--profile", str(tmp_path / "p.yaml")]))
    except LauncherError:
        return
    assert made.profile.account == "0123"


# --dry-run


def stand_ins(folder: Path, monkeypatch: pytest.MonkeyPatch, scontrol: str) -> None:
    for name, text in {"srun": "exit 1", "scontrol": scontrol}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def at(output: Path, cfg: Any) -> Run:
    return Run.at(run_folder(output, cfg), cfg)


def test_a_dry_run_shows_the_runs_and_what_sbatch_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_config: Callable[..., Any]
) -> None:
    stand_ins(tmp_path, monkeypatch, "echo MaxArraySize = 3")
    words = [*SLURM, "--partition", "gpu", "--array-parallelism", "2", "--sbatch", "exclusive"]
    runs = [(f"row {seed}", at(tmp_path / "runs", small_config("dacs", seed))) for seed in range(5)]
    text = dry_run(runs, tmp_path / "runs", read_launcher(run.parse_arguments(words)))
    assert all(f"row {seed}" in text and made.id in text for seed, (_, made) in enumerate(runs))
    assert "what sbatch is given the first of 2 times:" in text
    lines = text.splitlines()
    for line in ("--partition=gpu", "--array=0-2%2", "--exclusive", "--requeue", "--gres=gpu:1", "--time=1440"):
        assert f"#SBATCH {line}" in lines
    assert not (tmp_path / "runs").exists()
    alone = dry_run(runs[:1], tmp_path / "runs", read_launcher(run.parse_arguments(words)))
    assert "what sbatch is given:" in alone and "--array" not in alone


def test_a_dry_run_does_not_need_the_controller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_config: Callable[..., Any]
) -> None:
    """It does not where something was submitted before."""
    stand_ins(tmp_path, monkeypatch, "exit 1")
    made = at(tmp_path / "runs", small_config("dacs"))
    text = dry_run([("row", made)], tmp_path / "runs", read_launcher(run.parse_arguments(SLURM)))
    assert "what sbatch is given:" in text


def test_a_dry_run_needs_no_slurm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_config: Callable[..., Any]
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    made = at(tmp_path / "runs", small_config("dacs"))
    text = dry_run([("row", made)], tmp_path / "runs", read_launcher(run.parse_arguments([*SLURM, "--qos", "high"])))
    assert made.id in text and "#SBATCH --qos=high" in text.splitlines()
    assert "no SLURM was asked: no srun on the PATH" in text.splitlines()


# Of resubmit


def test_resubmit_replaces_keys_of_what_runs_were_submitted_with(profile: str) -> None:
    before = Profile(partition="old", time="5:00:00", sbatch={"exclude": "n1"})
    assert read_profile_options(status.parse_arguments(["resubmit"]), before) == before
    words = ["resubmit", "--time", "9:00:00", "--gpus", "2", "--sbatch", "nice=1"]
    made = read_profile_options(status.parse_arguments(words), before)
    assert made == Profile(partition="old", time="9:00:00", gpus=2, sbatch={"exclude": "n1", "nice": 1})
    other = read_profile_options(status.parse_arguments(["resubmit", "--profile", profile]), before)
    assert other.partition == "gpu" and other.minutes == 720 and "mail-type" in other.sbatch


# The command of states


def run_status(monkeypatch: pytest.MonkeyPatch, queue: Queue, *words: str) -> int | str | None:
    monkeypatch.setattr("slurm.jobs.scheduler.Scheduler", lambda: queue)
    monkeypatch.setattr(sys, "argv", ["status.py", *words])
    with pytest.raises(SystemExit) as end:
        exit_in_one_line(status.main)
    return end.value.code


def test_exit_codes_and_errors_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = make(tmp_path, job="7_1", status="finished"), ("--output", str(tmp_path))
    assert run_status(monkeypatch, Queue(), *output) == 0 and "1 runs: 1 finished" in capsys.readouterr().out
    assert run_status(monkeypatch, Queue(), *output, "--watch") == 0
    write_record(folder, {"status": "failed", "reason": "no disk"})
    assert run_status(monkeypatch, Queue(), *output) == 0
    assert run_status(monkeypatch, Queue(), *output, "--watch") == 1
    (folder / "log.txt").write_text("the last words\n")
    capsys.readouterr()
    assert run_status(monkeypatch, Queue(), *output, "log", "7_1") == 0
    assert "the last words" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    for words, line in (
        (["--output", str(tmp_path / "none")], "none: no such folder, expected one that holds run folders"),
        (["--output", str(tmp_path / "empty")], "empty: no run there, expected run folders with a record.json"),
        ([*output, "--watch", "--every", "0"], "--every is 0.0, expected more than 0 seconds"),
        ([*output, "log", "zzzz"], "zzzz: no runs of this name, expected a run's id, folder or job"),
        ([*output, "cancel"], "cancel: expected the runs to cancel, or --all"),
        ([*output, "resubmit", "--profile", "none"], "--profile none: no such profile"),
    ):
        assert run_status(monkeypatch, Queue(), *words) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and line in error and error.count("\n") == 1


@pytest.mark.slow
def test_without_slurm_submitted_runs_are_unknown(tmp_path: Path) -> None:
    """As a command of its own, where there is no SLURM at all."""
    folder = make(tmp_path, job="7_1", status="running")
    words = [sys.executable, "benchmarks/status.py", "--output", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0 and "1 unknown" in done.stdout, done.stderr
    assert "the scheduler does not answer: scontrol: no such command" in done.stdout
    assert json.loads((folder / "record.json").read_text())["status"] == "running"
