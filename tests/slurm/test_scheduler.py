"""What SLURM's commands say, and what is made of it where they fail; the commands are stand-ins."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm.jobs import scheduler
from slurm.jobs.scheduler import GONE, JobState, Scheduler, SchedulerSilent


def command(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_command_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(tmp_path, monkeypatch, "squeue", "printf 'slurm_load_jobs error: timeout\\nmore\\n' >&2; exit 1")
    with pytest.raises(SchedulerSilent, match=r"^squeue: slurm_load_jobs error: timeout$"):
        Scheduler().states(["1"])
    assert Scheduler().states([]) == {}  # nobody is asked
    monkeypatch.setattr(scheduler, "_SECONDS", 0.1)
    command(tmp_path, monkeypatch, "squeue", "exec sleep 5")
    with pytest.raises(SchedulerSilent, match=r"^squeue does not answer within 0 s$"):
        Scheduler().states(["1"])
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(SchedulerSilent, match=r"^squeue: no such command, expected SLURM's on the PATH$"):
        Scheduler().states(["1"])
    assert Scheduler().how_ended("1") == ""


def test_how_jobs_ended_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for line, expected in (
        ("JobState=TIMEOUT Reason=TimeLimit ExitCode=0:15", "TIMEOUT (signal 15)"),
        ("JobState=FAILED Reason=NonZeroExitCode ExitCode=1:0", "FAILED (exit code 1)"),
        ("JobState=FAILED Reason=NonZeroExitCode ExitCode=137:0", "FAILED (signal 9)"),
        ("JobState=OUT_OF_MEMORY Reason=OutOfMemory ExitCode=0:125", "OUT_OF_MEMORY (signal 125)"),
        ("JobState=COMPLETED Reason=None ExitCode=0:0", "COMPLETED"),
        ("JobState=RUNNING Reason=None ExitCode=0:0", ""),
    ):
        command(tmp_path, monkeypatch, "scontrol", f"echo 'JobId=7 ArrayJobId=6 {line} Foo=1'")
        assert Scheduler().how_ended("6_1") == expected
    command(tmp_path, monkeypatch, "scontrol", "exit 1")
    command(tmp_path, monkeypatch, "sacct", "printf '6_10|FAILED|1:0\\n6_1|CANCELLED by 1000|0:0\\n'")
    assert Scheduler().how_ended("6_1") == "CANCELLED by 1000"


def test_the_configuration_of_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "Configuration data as of 2026\nClusterName             = c 1\nMaxArraySize            = 11\n"
    command(tmp_path, monkeypatch, "scontrol", f"printf '{lines}'")
    assert (Scheduler().cluster, Scheduler().array_size) == ("c 1", 11)
    command(tmp_path, monkeypatch, "scontrol", "echo MaxArraySize = 0")
    assert Scheduler().array_size == 1
    command(tmp_path, monkeypatch, "scontrol", "echo")
    assert (Scheduler().cluster, Scheduler().array_size) == ("", 1001)


def test_a_key_without_a_value_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(tmp_path, monkeypatch, "scontrol", "printf 'CliFilterPlugins = \\nClusterName = c\\nMaxArraySize = 11\\n'")
    assert (Scheduler().cluster, Scheduler().array_size) == ("c", 11)


def test_states_of_the_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among other work of this user; an array that was requeued, held, or split is a line an element."""
    lines = "5|RUNNING|None\\n7_1|PENDING|JobArrayTaskLimit\\n7_10|COMPLETING|None\\n7_2|SUSPENDED|None\\n"
    lines += "7_3|PENDING|(null)\\n7_4|PENDING|Nodes are DOWN | or so\\n"
    command(tmp_path, monkeypatch, "squeue", f"printf '{lines}'")
    states = Scheduler().states(f"7_{k}" for k in (1, 10, 2, 3, 4, 5))
    assert states == {
        "7_1": JobState("PENDING", "JobArrayTaskLimit"), "7_10": JobState("COMPLETING"), "7_2": JobState("SUSPENDED"),
        "7_3": JobState("PENDING"), "7_4": JobState("PENDING", "Nodes are DOWN | or so"),
        "7_5": JobState(GONE),
    }  # fmt: skip
    assert [state.is_alive for state in states.values()] == [True] * 5 + [False]
    assert not JobState("NODE_FAIL").is_alive and not JobState("PREEMPTED").is_alive


def test_many_jobs_are_cancelled_in_command_lines_that_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(tmp_path, monkeypatch, "scancel", f"echo $# >> {tmp_path}/counts; echo $@ >> {tmp_path}/ids")
    wanted = [f"7_{k}" for k in range(450)]
    Scheduler().cancel(wanted)
    assert (tmp_path / "counts").read_text().split() == ["200", "200", "50"]
    assert (tmp_path / "ids").read_text().split() == wanted
