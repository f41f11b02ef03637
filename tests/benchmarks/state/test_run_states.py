"""How runs stand by record, lock and scheduler together; the table, cancel and resubmit."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_queue import Queue, make, one
from record_files import read_record, write_record
from rich.console import Console

from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder
from benchmarks.core.errors import ConfigError, RunLocked
from benchmarks.launch import job_control, on_slurm
from benchmarks.launch.job_control import cancel, resubmit, selected
from benchmarks.launch.on_slurm import SlurmRuns
from benchmarks.launch.state_table import last_lines, state_table, summary, watch
from benchmarks.launch.workers import WorkerJob
from benchmarks.state.lock import locked
from benchmarks.state.run_states import _LATE, RunState, run_states
from benchmarks.state.submissions import note_submission, submitted_runs
from datasets.base.errors import DataError
from slurm.jobs.profile import Profile, read_profile
from slurm.jobs.scheduler import GONE, SchedulerSilent


def age(folder: Path, seconds: float) -> None:
    for path in folder.iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


# Record, reason in it, job in the queue, how it ended: status, reason.
CASES = [
    ("pending", "", "PENDING Resources", "", "pending", "Resources"),
    ("pending", "", "RUNNING", "", "running", "starting"),
    ("pending", "", "CONFIGURING", "", "running", "starting"),
    ("running", "", "RUNNING", "", "running", ""),
    ("running", "", "COMPLETING", "", "running", ""),
    ("running", "", "PENDING BeginTime", "", "pending", "BeginTime"),  # requeued
    ("finished", "", "COMPLETING", "", "finished", ""),
    ("finished", "", GONE, "COMPLETED", "finished", ""),
    ("diverged", "loss is nan", GONE, "COMPLETED", "diverged", "loss is nan"),
    ("failed", "no disk", GONE, "COMPLETED", "failed", "no disk"),
    ("failed", "no disk", "PENDING Priority", "", "pending", "Priority"),  # submitted again
    ("failed", "lost: killed", "RUNNING", "", "running", "starting"),
    ("failed", "lost: killed", GONE, "", "lost", "killed"),
    ("stopped", "cancelled", GONE, "CANCELLED", "stopped", "cancelled"),
    ("stopped", "cancelled", "PENDING", "", "pending", ""),
    ("running", "", GONE, "FAILED (signal 9)", "lost", "job 7_1 ended without a result: FAILED (signal 9)"),
    ("running", "", "NODE_FAIL", "NODE_FAIL", "lost", "job 7_1 ended without a result: NODE_FAIL"),
    ("pending", "", GONE, "CANCELLED", "lost", "job 7_1 ended without a result: CANCELLED"),
]


@pytest.mark.parametrize(("recorded", "why", "job", "how", "expected", "reason"), CASES)
def test_status_and_reason(
    tmp_path: Path, recorded: str, why: str, job: str, how: str, expected: str, reason: str
) -> None:
    make(tmp_path, job="7_1", status=recorded, reason=why)
    state = one(tmp_path, Queue({"7_1": job}, how))
    assert (state.status, state.reason, state.job) == (expected, reason, "7_1")
    assert state.is_over == (expected not in ("running", "pending"))


def test_a_lost_run_is_marked_and_only_where_nobody_has_it(tmp_path: Path) -> None:
    folder = make(tmp_path, job="7_1", status="running", curve=[{"miou": 12.345}], iterations=4)
    queue = Queue(how="TIMEOUT")
    with locked(folder):  # a process of this machine took it up
        state = one(tmp_path, queue)
        assert state.status == "running" and state.reason.startswith(f"process {os.getpid()} on ")
        record = read_record(folder)
        assert record and record["status"] == "running"
    state = one(tmp_path, queue)
    assert (state.status, state.miou, state.iteration, state.iterations) == ("lost", 12.345, 4, 8)
    record = read_record(folder)
    assert record and (record["status"], record["reason"]) == (
        "failed", "lost: job 7_1 ended without a result: TIMEOUT",
    )  # fmt: skip
    assert record["curve"] == [{"miou": 12.345}]
    assert one(tmp_path, queue) == state


def test_a_run_that_was_never_submitted_asks_nobody(tmp_path: Path) -> None:
    make(tmp_path, "a" * 12, status="finished")
    gone = make(tmp_path, "b" * 12, status="running")
    held = make(tmp_path, "c" * 12, status="running")
    (tmp_path / ".slurm" / "code" / "x").mkdir(parents=True)
    write_record(tmp_path / ".slurm" / "code" / "x", {"status": "failed"})  # hidden: no run
    with locked(held):
        states, silent = run_states(tmp_path, Queue(silent="down"))
    assert silent == "" and [(s.folder.name[0], s.status) for s in states] == [
        ("c", "running"), ("a", "finished"), ("b", "lost"),
    ]  # fmt: skip
    record = read_record(gone)
    assert record and record["reason"] == "lost: its process is gone"


def test_a_silent_scheduler_loses_nothing(tmp_path: Path) -> None:
    folders = [make(tmp_path, f"{k}" * 12, f"7_{k}", status) for k, status in enumerate(("pending", "running"))]
    make(tmp_path, "f" * 12, "7_2", "finished")
    states, silent = run_states(tmp_path, Queue(silent="squeue: connect failure"))
    assert silent == "squeue: connect failure"
    assert [s.status for s in states] == ["unknown", "unknown", "finished"] and not states[0].is_over
    assert [read_record(folder)["status"] for folder in folders] == ["pending", "running"]  # type: ignore[index]
    assert "the scheduler does not answer: squeue: connect failure" in state_table(states, silent)


def test_a_run_that_ends_between_the_two_looks_has_ended(tmp_path: Path) -> None:
    folder = make(tmp_path, job="7_1", status="running")
    queue = Queue(how="COMPLETED")
    queue.meanwhile = lambda: write_record(folder, {"status": "finished"})
    assert one(tmp_path, queue).status == "finished"


def test_a_completed_job_may_have_a_late_record(tmp_path: Path) -> None:
    folder = make(tmp_path, job="7_1", status="running")
    state = one(tmp_path, Queue(how="COMPLETED"))
    assert state.status == "running" and "not yet arrived" in state.reason
    assert read_record(folder)["status"] == "running"  # type: ignore[index]


def test_a_completed_job_whose_record_never_comes_is_lost(tmp_path: Path) -> None:
    """Otherwise --watch never ends."""
    age(make(tmp_path, job="7_1", status="running"), 10 * _LATE)
    assert one(tmp_path, Queue(how="COMPLETED")).status == "lost"


def test_a_job_of_which_nobody_says_how_it_ended_may_have_a_late_record_too(tmp_path: Path) -> None:
    """No accounting, and the controller has forgotten it or does not answer in between."""
    make(tmp_path, job="7_1", status="running")
    assert one(tmp_path, Queue(how="")).status != "lost"


def test_the_newest_job_counts_and_those_of_another_cluster_are_not_asked_for(tmp_path: Path) -> None:
    make(tmp_path, "a" * 12, "7_1", "failed", reason="no disk")
    make(tmp_path, "a" * 12, "9")
    other = make(tmp_path, "b" * 12, "8_1", "running", cluster="there")
    queue = Queue({"7_1": "RUNNING", "8_1": "RUNNING", "9": "PENDING Priority"})
    states, _ = run_states(tmp_path, queue)
    assert queue.asked == ["9"]
    assert [(s.job, s.status) for s in states] == [("9", "pending"), ("8_1", "unknown")]
    assert read_record(other)["status"] == "running"  # type: ignore[index]


def test_a_run_without_a_record_yet(tmp_path: Path) -> None:
    make(tmp_path, job="7_1")
    state = one(tmp_path, Queue({"7_1": "PENDING Priority"}))
    assert (state.label, state.status, state.iterations) == ("label abcdef012345", "pending", 8)


def test_a_run_that_the_user_removed_does_not_come_back(tmp_path: Path) -> None:
    folder = make(tmp_path, job="7_1")
    folder.rmdir()
    run_states(tmp_path, Queue(how="COMPLETED"))
    assert not folder.exists()


def test_runs_of_another_user_can_be_looked_at(tmp_path: Path) -> None:
    folder = make(tmp_path, job="7_1", status="running")
    (folder / ".lock").mkdir()  # cannot be opened for writing, as a file of another user
    assert one(tmp_path, Queue(how="TIMEOUT")).folder == folder


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": 99, "status": "finished"}'])
def test_a_damaged_record_is_a_failure_with_a_reason_of_one_line(tmp_path: Path, text: str) -> None:
    folder = make(tmp_path, job="7_1")
    (folder / "record.json").write_text(text)
    state = one(tmp_path, Queue(how="COMPLETED"))
    assert state.status == "failed" and str(folder / "record.json") in state.reason and "\n" not in state.reason
    assert (folder / "record.json").read_text() == text


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "jobs": []}', '{"schema": 1, "jobs": {"1": 2}}']
)
def test_a_damaged_submission_is_one_line(tmp_path: Path, text: str) -> None:
    make(tmp_path, job="7_1", status="running")
    bad = tmp_path / ".slurm" / "submissions" / "9-9.json"
    bad.write_text(text)
    with pytest.raises(ConfigError, match=r"expected a submission of schema 1 ") as error:
        submitted_runs(tmp_path)
    assert str(error.value).startswith(f"{bad}: ") and "\n" not in str(error.value)


# The table


def test_time_left_is_that_of_this_session(tmp_path: Path) -> None:
    """200 iterations in 200 s, 700 to go, and the last line is 30 s old."""
    now = time.time()
    folder = make(tmp_path, job="7_1", status="running", max_iterations=1000, resumed_at=100, session_began=now - 230)
    (folder / "metrics.json").write_text('{"iteration": 199}\n{"iteration": 299}\n')
    os.utime(folder / "metrics.json", (now - 30, now - 30))
    state = one(tmp_path, Queue({"7_1": "RUNNING"}))
    assert state.iteration == 300 and state.seconds_left == pytest.approx(670, abs=2)
    text = state_table([state])
    assert "300/1000" in text and "; time left 11:" in text
    assert one(tmp_path, Queue({"7_1": "PENDING"})).seconds_left is None
    write_record(folder, {"status": "running", "max_iterations": 1000, "resumed_at": 300, "session_began": now})
    assert one(tmp_path, Queue({"7_1": "RUNNING"})).seconds_left is None  # nothing done yet


def test_the_table_and_its_summary(tmp_path: Path) -> None:
    make(tmp_path, "a" * 12, "7_0", "finished", curve=[{"miou": 40.04}, {"miou": 41.26}], iterations=8)
    make(tmp_path, "b" * 12, "7_1", "pending")
    make(tmp_path, "c" * 12, status="failed", reason="no disk")
    lines = state_table(*run_states(tmp_path, Queue({"7_1": "PENDING Priority"}))).splitlines()
    assert [line.split()[0][0] for line in lines[2:5]] == ["b", "a", "c"]
    assert "41.3" in lines[3] and "8/8" in lines[3] and "Priority" in lines[2] and "no disk" in lines[4]
    assert lines[-1] == "3 runs: 1 pending, 1 finished, 1 failed" and summary([], "") == "0 runs: none"


def grid(output: Path, keys: dict[str, dict[str, Any]]) -> None:
    """Finished runs of one label, by the config keys of each."""
    for name, values in keys.items():
        folder = make(output, name * 12, status="finished")
        (folder / "config.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


def settings_column(output: Path) -> dict[str, str]:
    """What the table says of each run's settings, by the first letter of its name."""
    lines = state_table(run_states(output, Queue())[0]).splitlines()
    start, end = lines[0].index("settings"), lines[0].index("state")
    return {line[0]: line[start:end].strip() for line in lines[2 : lines.index("")]}


def test_runs_of_one_label_say_in_which_keys_they_differ(tmp_path: Path) -> None:
    mrm = [{"RATIO": ratio, "WEIGHT": weight, "PATCH": 64} for ratio, weight in ((0.3, 1.0), (0.6, 1.0), (0.6, 0.0))]
    root = [{"DATA": {"ROOT": place, "CLASSES": []}, "SOLVER": {"ITERS": 8}} for place in "xyz"]
    grid(tmp_path, {n: {"TERMS": {"MRM": a}} | b for n, a, b in zip("abc", mrm, root, strict=True)})
    make(tmp_path, "d" * 12, status="finished", spec={"method": "mic", "seed": 0})  # of another label
    assert settings_column(tmp_path) == {
        "a": "RATIO 0.3, WEIGHT 1.0", "b": "RATIO 0.6, WEIGHT 1.0", "c": "RATIO 0.6, WEIGHT 0.0", "d": "",
    }  # fmt: skip


def test_keys_of_one_name_are_told_apart_and_the_width_is_bounded(tmp_path: Path) -> None:
    grid(tmp_path, {n: {"TERMS": {"MRM": {"WEIGHT": k}, "MIC": {"WEIGHT": 1 - k}}} for k, n in enumerate("ab")})
    assert settings_column(tmp_path) == {"a": "MIC.WEIGHT 1, MRM.WEIGHT 0", "b": "MIC.WEIGHT 0, MRM.WEIGHT 1"}
    # The key of most values comes first, whatever else does not fit.
    many = [f"LONG_NAME_OF_A_KEY_{k}" for k in range(9)]
    each = {n: dict.fromkeys(many, k // 2) | {"RATIO": k} for k, n in enumerate("abc")}
    grid(tmp_path, each)
    assert settings_column(tmp_path)["b"] == "RATIO 1, LONG_NAME_OF_A_KEY_0 0, 8 more"
    grid(tmp_path, {n: {"WEIGHTS": f"{n}" * 400} for n in "abc"})
    assert settings_column(tmp_path)["b"] == f"WEIGHTS {'b' * 49}..."


def test_what_tells_no_settings_is_left_out(tmp_path: Path) -> None:
    grid(tmp_path, {n: {"RATIO": k} for k, n in enumerate("abcdef")})
    configs = {n: tmp_path / "streets" / "dacs" / "net" / (n * 12) / "config.yaml" for n in "abcdef"}
    configs["c"].write_text("[" * 5000)
    configs["d"].write_text("no keys")
    configs["e"].unlink()
    configs["f"].unlink()
    os.mkfifo(configs["f"])
    told = settings_column(tmp_path)
    assert told == {"a": "RATIO 0", "b": "RATIO 1", "c": "", "d": "", "e": "", "f": ""}


def test_without_runs_of_one_label_there_is_no_column_of_settings(tmp_path: Path) -> None:
    make(tmp_path, "a" * 12, status="finished")
    make(tmp_path, "b" * 12, status="finished", spec={"method": "dacs", "seed": 1})
    assert "settings" not in state_table(run_states(tmp_path, Queue())[0])


def test_watch_on_a_plain_console_says_changes_and_ends(tmp_path: Path) -> None:
    folder, queue, looks = make(tmp_path, job="7_1", status="pending"), Queue({"7_1": "PENDING"}), 0

    def look() -> tuple[list[RunState], str]:
        nonlocal looks
        looks += 1
        if looks == 3:
            queue.jobs["7_1"] = "RUNNING"
        if looks == 5:
            write_record(folder, {"status": "finished", "max_iterations": 8})
        return run_states(tmp_path, queue)

    said = StringIO()
    assert watch(look, 0.001, Console(file=said)) is True and looks == 5
    lines = said.getvalue().splitlines()
    assert lines[:2] == ["1 runs: 1 pending", "1 runs: 1 running"] and lines[-1] == "1 runs: 1 finished"
    write_record(folder, {"status": "failed", "reason": "no disk"})
    terminal = Console(file=StringIO(), force_terminal=True, width=120)
    queue.jobs.clear()
    assert watch(look, 0.001, terminal) is False


def test_the_last_lines_of_the_logs(tmp_path: Path) -> None:
    state = one(tmp_path, Queue()) if make(tmp_path, status="failed") else None
    assert state and last_lines(state, 2, tmp_path / "none") == f"{state.folder}: nothing was logged"
    (state.folder / "log.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "job").write_bytes(b"\xff of the job\n")
    lines = last_lines(state, 2, tmp_path / "job").splitlines()
    assert [line.strip() for line in lines[1:3]] == ["two", "three"] and lines[-1].endswith("of the job")
    assert "one" not in "".join(lines)


def test_no_lines_are_no_lines(tmp_path: Path) -> None:
    folder = make(tmp_path, status="failed")
    (folder / "log.txt").write_text("one\n")
    assert "one" not in last_lines(one(tmp_path, Queue()), 0, None)


# Named runs, cancel, resubmit


def test_runs_are_named_by_id_beginning_folder_and_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = {"7_0": "aaaa00000000", "7_1": "aaaa11111111", "8": "bbbb00000000"}
    folders = {job: make(tmp_path, name, job, "failed") for job, name in jobs.items()}
    states = run_states(tmp_path, Queue())[0]

    def names(*words: str) -> list[str]:
        return sorted(state.job for state in selected(states, words))

    assert names("aaaa00000000") == names("aaaa0") == names("7_0") == names(str(folders["7_0"])) == ["7_0"]
    assert names("7") == ["7_0", "7_1"] and names("8") == names("bbbb") == ["8"]
    assert names("7", "7_1", "8") == ["7_0", "7_1", "8"]
    monkeypatch.chdir(tmp_path)
    assert names(str(folders["8"].relative_to(tmp_path))) == ["8"]
    for word, words in {"aaaa": "aaaa: 2 runs", "aaa": "aaa: no runs", "9": "9: no runs", "": ": no runs"}.items():
        with pytest.raises(ConfigError, match=f"^{words} of this name, expected a run's id, folder or job$"):
            names("8", word)


def test_cancel_ends_what_waits_or_runs_and_marks_it_stopped(tmp_path: Path) -> None:
    waiting, running = make(tmp_path, "a" * 12, "7_0", "pending"), make(tmp_path, "b" * 12, "7_1", "running")
    make(tmp_path, "c" * 12, "7_2", "finished")
    queue, said = Queue({"7_0": "PENDING", "7_1": "RUNNING"}), list[str]()
    cancel(run_states(tmp_path, queue)[0], queue, said.append)
    assert sorted(queue.cancelled) == ["7_0", "7_1"] and len(said) == 2 and "job 7_1 cancelled" in said[0]
    for folder in (waiting, running):
        record = read_record(folder)
        assert record and (record["status"], record["reason"]) == ("stopped", "cancelled")
    cancel(run_states(tmp_path, queue)[0], queue, said.append)
    assert len(queue.cancelled) == 2 and said[2].startswith("nothing to cancel")


def test_cancel_does_not_take_a_silent_scheduler_for_an_empty_queue(tmp_path: Path) -> None:
    make(tmp_path, job="7_1", status="running")
    queue = Queue(silent="squeue: connect failure")
    with pytest.raises(SchedulerSilent, match="connect failure"):
        cancel(run_states(tmp_path, queue)[0], queue, lambda line: None)


def test_a_job_that_does_not_end_in_time_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, said = make(tmp_path, job="7_1", status="running"), list[str]()
    queue = Queue({"7_1": "RUNNING"})
    monkeypatch.setattr(queue, "cancel", lambda jobs: None)
    monkeypatch.setattr(job_control, "_CANCEL_SECONDS", -1.0)
    cancel(run_states(tmp_path, queue)[0], queue, said.append)
    assert said == ["1 jobs have not ended yet: 7_1"]
    assert read_record(folder)["status"] == "running"  # type: ignore[index]


def test_cancel_leaves_a_job_of_the_same_number_on_this_cluster_alone(tmp_path: Path) -> None:
    make(tmp_path, job="7_1", status="running", cluster="there")
    queue = Queue({"7_1": "RUNNING"})  # somebody's other work
    cancel(run_states(tmp_path, queue)[0], queue, lambda line: None)
    assert queue.cancelled == []


def test_cancel_does_not_say_so_of_a_run_that_goes_on_in_a_process_here(tmp_path: Path) -> None:
    folder, said = make(tmp_path, job="7_1", status="running"), list[str]()
    with locked(folder):
        cancel(run_states(tmp_path, queue := Queue())[0], queue, said.append)
    assert not any("job 7_1 cancelled" in line for line in said)


def test_resubmit_takes_what_failed_with_the_profile_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_config: Callable[..., Any]
) -> None:
    submitted = list[tuple[Profile, list[str]]]()

    class Runs:
        def __init__(self, output: Path, profile: Profile) -> None:
            self.profile = profile

        def submit_all(self, jobs: dict[int, WorkerJob]) -> None:
            assert not any(job.force for job in jobs.values())
            submitted.append((self.profile, [job.run.folder.name for job in jobs.values()]))

        def job_id(self, index: int) -> str:
            return f"50_{index}"

    monkeypatch.setattr(on_slurm, "SlurmRuns", Runs)
    folders = []
    for seed, (before, word) in enumerate([("a", "failed"), ("b", "stopped"), ("a", "failed"), ("a", "finished")]):
        cfg = small_config("dacs", seed)
        folder = run_folder(tmp_path, cfg)
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(cfg.dump())
        write_record(folder, {"status": word, "reason": "lost: killed" if seed == 2 else ""})
        note_submission(tmp_path, {f"7_{seed}": (folder, f"seed {seed}", 4)}, "here", {"partition": before}, "code")
        folders.append(folder)
    said = list[str]()
    states = run_states(tmp_path, Queue())[0]
    resubmit(states, tmp_path, lambda before: Profile(before.partition, qos="high"), said.append)
    by_profile = {profile.partition: sorted(names) for profile, names in submitted}
    assert by_profile == {"a": sorted([folders[0].name, folders[2].name]), "b": [folders[1].name]}
    assert all(profile.qos == "high" for profile, _ in submitted) and len(said) == 2
    resubmit([s for s in states if s.status == "finished"], tmp_path, lambda before: before, said.append)
    assert said[2].startswith("nothing to submit") and len(submitted) == 2
    (folders[0] / "config.yaml").write_text(small_config("dacs", 9).dump())
    with pytest.raises(ConfigError, match=r"its config.yaml is of another run now \(\w{12}\)"):
        resubmit(states, tmp_path, lambda before: before, said.append)
    assert len(submitted) == 2  # none of the others either


EXECUTED = [
    ({"setup": ["curl somewhere"]}, r"setup \('curl somewhere',\)"),
    ({"python": "/tmp/theirs"}, "python '/tmp/theirs'"),
    ({"sbatch": {"export": "ALL,LD_PRELOAD=/tmp/theirs.so"}}, r"sbatch \{'export': 'ALL,LD_PRELOAD=/tmp/theirs.so'\}"),
]


@pytest.mark.parametrize(("written", "shown"), EXECUTED)
def test_what_jobs_would_execute_is_not_taken_from_the_output_folder_without_a_word(
    written: dict[str, Any],
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_config: Callable[..., Any],
) -> None:
    """The folder may be somebody else's: its submissions are files like any other."""
    submitted, questions = list[Profile](), list[str]()

    class Runs:
        def __init__(self, output: Path, profile: Profile) -> None:
            submitted.append(profile)

        def submit_all(self, jobs: dict[int, WorkerJob]) -> None: ...

        def job_id(self, index: int) -> str:
            return f"50_{index}"

    monkeypatch.setattr(on_slurm, "SlurmRuns", Runs)
    for seed in (0, 1):
        cfg = small_config("dacs", seed)
        folder = run_folder(tmp_path, cfg)
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(cfg.dump())
        write_record(folder, {"status": "failed", "reason": ""})
        note_submission(tmp_path, {f"7_{seed}": (folder, "a", 4)}, "here", {"partition": "p"} | written, "code")
    states = run_states(tmp_path, Queue())[0]

    def again(profile_of: Callable[[Profile], Profile], answer: bool) -> None:
        def confirmed(question: str) -> bool:
            questions.append(question)
            return answer

        resubmit(states, tmp_path, profile_of, lambda _: None, confirmed)

    with pytest.raises(ConfigError, match=rf"was submitted with {shown}, which its job would execute: expected --pro"):
        again(lambda before: before, False)
    with pytest.raises(ConfigError, match="which its job would execute"):
        resubmit(states, tmp_path, lambda before: before, lambda _: None)  # where nobody can be asked
    assert submitted == [] and len(questions) == 1
    again(lambda before: before, True)
    assert submitted == [read_profile({"partition": "p"} | written, "p")] and len(questions) == 2  # once for both runs
    again(lambda _: Profile(setup=("module load mine",), python="mine"), False)  # of --profile: the user's own
    assert submitted[1].setup == ("module load mine",) and len(questions) == 2
    again(lambda before: replace(Profile(), partition=before.partition), False)
    assert len(submitted) == 3 and len(questions) == 2


def test_runs_whose_configs_name_code_are_submitted_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_config: Callable[..., Any]
) -> None:
    """The job would import it, on another machine."""
    submitted = list[dict[int, WorkerJob]]()

    class Runs:
        def __init__(self, output: Path, profile: Profile) -> None: ...

        def submit_all(self, jobs: dict[int, WorkerJob]) -> None:
            submitted.append(jobs)

        def job_id(self, index: int) -> str:
            return "50"

    monkeypatch.setattr(on_slurm, "SlurmRuns", Runs)
    cfg = small_config("dacs", overrides={"DATA.MODULE": str(tmp_path / "theirs.py")})
    folder = run_folder(tmp_path, cfg)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(cfg.dump())
    write_record(folder, {"status": "failed", "reason": ""})
    states = run_states(tmp_path, Queue())[0]
    with pytest.raises(DataError, match=r"DATA\.MODULE is .*theirs\.py, code that runs"):
        resubmit(states, tmp_path, lambda before: before, lambda _: None)
    assert submitted == []
    named = [str(tmp_path / "theirs.py")]
    resubmit(states, tmp_path, lambda before: before, lambda _: None, modules=named)
    assert [job.run.folder for job in submitted[0].values()] == [folder]


@pytest.mark.parametrize(
    ("job", "run", "files"),
    [
        ("7_1", "../outside", ""),
        ("7_1", "/outside", ""),
        ("7_1", "a/../../outside", ""),
        ("7_1", "", ""),
        ("--user=me", "a", ""),
        ("7_1", "a", "../../elsewhere"),
    ],
)
def test_a_submission_says_nothing_of_what_is_not_below_the_output(
    job: str, run: str, files: str, tmp_path: Path
) -> None:
    """Records of its runs are written, its jobs are given to SLURM's commands."""
    folder = tmp_path / "runs" / ".slurm" / "submissions"
    folder.mkdir(parents=True)
    runs = {job: {"run": run, "label": "a", "iterations": 4}}
    about = {"schema": 1, "submitted": "", "cluster": "here", "code": "c", "profile": {}, "files": files}
    (folder / "1-1.json").write_text(json.dumps(about | {"jobs": runs}))
    with pytest.raises(ConfigError, match=r"1-1\.json: expected a submission of schema 1"):
        submitted_runs(tmp_path / "runs")


def test_a_submission_knows_where_its_jobs_have_their_files(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    note_submission(tmp_path, {"7_1": (folder, "a", 4)}, "here", {}, "code")  # as before each command had its own
    assert submitted_runs(tmp_path)[folder].log == tmp_path / ".slurm/jobs/7_1_0_log.out"
    note_submission(tmp_path, {"8": (folder, "a", 4)}, "here", {}, "code", "0123456789abcdef")
    assert submitted_runs(tmp_path)[folder].log == tmp_path / ".slurm/jobs/0123456789abcdef/8_0_log.out"


def test_runs_that_were_not_submitted_do_not_say_pending(tmp_path: Path, small_config: Callable[..., Any]) -> None:
    jobs = {k: WorkerJob(f"{k}", Run.at(tmp_path / f"{k}", small_config("dacs", k))) for k in (0, 1)}
    runs = SlurmRuns(tmp_path, Profile(), scheduler=Queue())
    with locked(jobs[1].run.folder), pytest.raises(RunLocked):
        runs.submit_all(jobs)
    record = read_record(jobs[0].run.folder) or {}
    assert (record["status"], record["reason"]) == ("failed", "lost: it could not be submitted")
    assert read_record(jobs[1].run.folder) is None  # its process has written nothing yet, and nobody else may
    assert submitted_runs(tmp_path) == {}


def test_a_submission_is_json_for_every_reader(tmp_path: Path) -> None:
    """YAML has numbers that JSON has not."""
    profile = {"sbatch": {"nice": math.nan, "priority": math.inf}}
    note_submission(tmp_path, {"7_0": (tmp_path / "run", "a", 4)}, "here", profile, "code")
    (written,) = (tmp_path / ".slurm" / "submissions").iterdir()
    assert "NaN" not in written.read_text() and "Infinity" not in written.read_text()
    assert json.loads(written.read_text())["profile"] == {"sbatch": {"nice": None, "priority": None}}
