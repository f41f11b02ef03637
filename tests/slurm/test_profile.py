"""Profiles: every key's good and bad values, times as sbatch writes them, and the script that sbatch is given."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.core.yaml_file import read_yaml
from benchmarks.launch.launcher import PROFILES, named_profile
from benchmarks.launch.on_slurm import dry_submitter, submitter
from slurm.base.errors import LauncherError
from slurm.jobs.profile import Profile, changed, parse_time, read_profile
from slurm.jobs.scheduler import Scheduler
from slurm.jobs.submission import Submitter
from slurm.local_cluster.cluster import LocalCluster

GOOD = [
    ("partition", "gpu", "gpu"),
    ("partition", None, None),
    ("account", 1234, "1234"),  # as YAML reads it
    ("qos", "high", "high"),
    ("constraint", "a100|h100", "a100|h100"),
    ("nodes", 2, 2),
    ("gpus", 0, 0),
    ("gpu_type", "a100", "a100"),
    ("cpus", 1, 1),
    ("memory", "32G", "32G"),
    ("memory", "500MB", "500MB"),
    ("memory", None, None),
    ("time", "1-12:00:00", "1-12:00:00"),
    ("time", 90, "90"),
    ("array_parallelism", 8, 8),
    ("array_parallelism", None, None),
    ("signal_seconds", 10, 10),
    ("setup", "module load cuda\nexport A=1\n", ("module load cuda", "export A=1")),
    ("setup", ["module load cuda"], ("module load cuda",)),
    ("python", "singularity exec --nv i.sif python", "singularity exec --nv i.sif python"),
    ("sbatch", {"mail_type": "FAIL", "--exclude": "n[1-3]"}, {"mail-type": "FAIL", "exclude": "n[1-3]"}),
    ("sbatch", {"exclusive": True, "contiguous": False, "nice": 5}, {"exclusive": True, "nice": 5}),
]


@pytest.mark.parametrize(("key", "value", "expected"), GOOD)
def test_good_values(key: str, value: Any, expected: Any) -> None:
    assert getattr(read_profile({key: value}, "p.yaml"), key) == expected


BAD = [
    ("partition", "", "a name"),
    ("partition", ["gpu"], "a name"),
    ("account", True, "a name"),
    ("qos", 1.5, "a name"),
    ("constraint", "a100\n#SBATCH --qos=high", "one line"),
    ("account", "mine\r#SBATCH --qos=high", "one line"),
    ("python", "python\u2028", "one line"),
    ("time", "24:00:00\n", "one line"),
    ("setup", ["a\n#SBATCH --qos=high"], "lines of bash, each an item"),
    ("setup", ["#SBATCH --qos=high"], "lines of bash, and options of sbatch"),
    ("sbatch", {"comment": "a\n#SBATCH --qos=high"}, "for comment one line"),
    ("sbatch", {"comment": "a\rb"}, "for comment one line"),
    ("nodes", 0, "a whole number, at least 1"),
    ("nodes", True, "a whole number, at least 1"),
    ("nodes", None, "a whole number, at least 1"),
    ("gpus", -1, "a whole number, at least 0"),
    ("gpus", "2", "a whole number, at least 0"),
    ("cpus", 0.5, "a whole number, at least 1"),
    ("array_parallelism", 0, "a whole number, at least 1"),
    ("signal_seconds", 9, "a whole number, at least 10"),
    ("memory", 32, "a number with its unit, such as 32G"),
    ("memory", "32 G", "a number with its unit, such as 32G"),
    ("memory", "lots", "a number with its unit, such as 32G"),
    ("time", "tomorrow", "a time such as"),
    ("time", "1:2:3:4", "a time such as"),
    ("time", "1-", "a time such as"),
    ("time", -5, "a time such as"),
    ("time", 1.5, "a time such as"),
    ("time", True, "a time such as"),
    ("time", None, "a time such as"),
    ("time", "00:00", "a time of at least a minute"),
    ("setup", {"module": "cuda"}, "lines of bash"),
    ("setup", [1], "lines of bash"),
    ("python", 3.11, "a name"),
    ("sbatch", None, "options of sbatch and their values"),
    ("sbatch", ["exclusive"], "options of sbatch and their values"),
    ("sbatch", {"exclude": None}, "for exclude an option of sbatch in its long form"),
    ("sbatch", {"Exclude me": "n1"}, "for Exclude me an option of sbatch in its long form"),
    ("sbatch", {3: "n1"}, "for 3 an option of sbatch in its long form"),
]


@pytest.mark.parametrize(("key", "value", "expected"), BAD)
def test_bad_values_name_file_key_value_and_what_was_expected(key: str, value: Any, expected: str) -> None:
    with pytest.raises(LauncherError) as error:
        read_profile({key: value}, "my/p.yaml")
    line = str(error.value)
    assert line.startswith(f"my/p.yaml: {key} is {value!r}, expected {expected}"), line
    assert "\n" not in line


def test_keys_that_do_not_go_together() -> None:
    for values, words in (
        ({"gpus": 0, "gpu_type": "a100"}, ("gpu_type is 'a100'", "gpus is 0")),
        ({"gpus": 0, "nodes": 2}, ("nodes is 2", "gpus is 0")),
        ({"time": "2", "signal_seconds": 120}, ("signal_seconds is 120", "time", "is 2")),
    ):
        with pytest.raises(LauncherError) as error:
            read_profile(values, "p.yaml")
        assert all(word in str(error.value) for word in ("p.yaml: ", *words)), error.value
    read_profile({"time": "2", "signal_seconds": 119}, "p.yaml")


@pytest.mark.parametrize(
    ("key", "near"), [("partion", "partition"), ("gpu", "gpus"), ("mem", "memory"), ("gpu-type", "gpu_type")]
)
def test_an_unknown_key_suggests_the_nearest(key: str, near: str) -> None:
    with pytest.raises(LauncherError, match=f"^p.yaml: unknown key {key}; did you mean {near}\\?$"):
        read_profile({key: 1}, "p.yaml")


def test_an_unknown_key_like_none_lists_all() -> None:
    with pytest.raises(LauncherError) as error:
        read_profile({"zzz": 1}, "p.yaml")
    assert all(field.name in str(error.value) for field in fields(Profile))
    with pytest.raises(LauncherError, match=r"^p.yaml: expected keys and values of a profile, found list$"):
        read_profile(["partition"], "p.yaml")


# Times

TIMES = {  # minutes
    "90": 90,
    "90:00": 90,
    "24:00": 24,  # minutes and seconds, as for sbatch
    "0:30": 1,
    "1:30:00": 90,
    "24:00:00": 1440,
    "00:59:01": 60,
    "2-0": 2880,
    "1-12": 2160,
    "1-12:30": 2190,
    "1-12:00:01": 2161,
}


@pytest.mark.parametrize(("text", "minutes"), TIMES.items())
def test_times_in_whole_minutes_rounded_up(text: str, minutes: int) -> None:
    assert parse_time(text) == minutes
    assert read_profile({"time": text, "signal_seconds": 10}, "p.yaml").minutes == minutes


def test_times_and_memory_are_read_as_sbatch_does(slurm_cluster: LocalCluster) -> None:
    jobs = {}
    for text in TIMES:
        made = slurm_cluster.run("sbatch", "--hold", "--parsable", f"--time={text}", "--wrap", "true")
        assert made.returncode == 0, made.stderr
        jobs[made.stdout.strip()] = text
    try:
        for job, text in jobs.items():
            said = slurm_cluster.run("scontrol", "show", "job", "-o", job).stdout
            match = re.search(r"\bTimeLimit=(?:(\d+)-)?(\d+):(\d+):(\d+)", said)
            assert match, said
            days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
            assert seconds == 0 and 1440 * days + 60 * hours + minutes == parse_time(text), text
    finally:
        slurm_cluster.run("scancel", *jobs)
    for memory in ("32G", "500M", "500MB", "1T", "64GB", "100K"):
        assert read_profile({"memory": memory}, "p").memory == memory
        assert _is_memory(slurm_cluster, memory), memory


@pytest.mark.parametrize("memory", ["1.5G", "32B"])
def test_memory_that_sbatch_refuses_is_refused(slurm_cluster: LocalCluster, memory: str) -> None:
    assert not _is_memory(slurm_cluster, memory)
    with pytest.raises(LauncherError, match="a number with its unit"):
        read_profile({"memory": memory}, "p.yaml")


def test_memory_without_a_unit_is_refused() -> None:
    with pytest.raises(LauncherError, match="a number with its unit"):
        changed(Profile(), {"memory": "32"}, "--memory")


def _is_memory(cluster: LocalCluster, text: str) -> bool:
    """Whether sbatch understands it; a node may have less."""
    made = cluster.run("sbatch", "--test-only", f"--mem={text}", "--wrap", "true")
    return "Invalid --mem" not in made.stderr


@pytest.mark.parametrize("written", ["24:00:00", "'24:00:00'", "1440"])
def test_a_time_in_a_yaml_file_may_look_like_a_number(tmp_path: Path, written: str) -> None:
    """YAML 1.1 takes 24:00:00 for 86,400."""
    path = tmp_path / "p.yaml"
    path.write_text(f"time: {written}\n")
    assert read_profile(read_yaml(path, "a profile"), str(path)).minutes == 1440


# Files


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_profile_that_ships_can_be_read_and_dumped(path: Path) -> None:
    profile = named_profile(path.stem)
    assert profile == named_profile(str(path))
    assert read_profile(yaml.safe_load(yaml.safe_dump(profile.dump())), "p") == profile


def test_the_dump_of_a_profile_is_the_same_profile() -> None:
    assert Profile().dump() == {} and read_profile({}, "p") == Profile()
    full = read_profile(
        {
            "partition": "p", "account": 7, "qos": "q", "constraint": "c", "nodes": 2, "gpus": 3, "gpu_type": "t",
            "cpus": 5, "memory": "6G", "time": "7:00:00", "array_parallelism": 8, "signal_seconds": 90,
            "setup": ["a", "b"], "python": "x python", "sbatch": {"exclude": "n1", "exclusive": True},
        },
        "p",
    )  # fmt: skip
    dumped = yaml.safe_load(yaml.safe_dump(full.dump()))
    assert set(dumped) == {field.name for field in fields(Profile)}
    assert read_profile(dumped, "p") == full
    no_gpu = read_profile({"gpus": 0}, "p")
    assert no_gpu.dump() == {"gpus": 0} and no_gpu.ranks == 1 and full.ranks == 6


def test_the_example_documents_every_key_with_its_default_and_valid_values(tmp_path: Path) -> None:
    text = (PROFILES / "example.yaml").read_text()
    shown = re.findall(r"^(?:# )?([a-z_]+): ", text, re.MULTILINE)
    assert sorted(shown) == sorted(field.name for field in fields(Profile))  # each once
    assert named_profile("example") == Profile()
    live = re.sub(r"^# (?=[a-z_]+: )|^#(?=  )", "", text, flags=re.MULTILINE)
    live = live.replace("setup: []", "setup:").replace("sbatch: {}", "sbatch:")
    path = tmp_path / "shown.yaml"
    path.write_text(live)
    profile = named_profile(str(path))
    assert profile.gpu_type == "a100" and profile.array_parallelism == 8 and profile.memory == "32G"
    assert len(profile.setup) == 2 and profile.sbatch["mail-type"] == "FAIL" and profile.sbatch["exclusive"] is True


# Options of sbatch


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("partition", "the key partition instead"), ("--mem", "the key memory instead"),
        ("cpus_per_task", "the key cpus instead"), ("gpus-per-node", "the key gpus instead"),
        ("gres", "the key gpus and gpu_type instead"), ("time", "the key time instead"),
        ("signal", "the key signal_seconds instead"), ("array", "the key array_parallelism instead"),
        ("output", "none: it is decided here"), ("requeue", "none: it is decided here"),
        ("no-requeue", "none: it is decided here"), ("dependency", "none: it is decided here"),
    ],
)  # fmt: skip
def test_options_that_are_keys_or_ours_are_refused(option: str, instead: str) -> None:
    with pytest.raises(LauncherError) as error:
        read_profile({"sbatch": {"exclude": "n1", option: "x"}}, "p.yaml")
    assert str(error.value).startswith("p.yaml: sbatch is {") and instead in str(error.value)


@pytest.mark.parametrize("option", ["parsable", "quiet", "wait", "test-only", "wrap", "clusters", "tasks-per-node"])
def test_options_that_break_the_submission_are_refused(option: str) -> None:
    """parsable, quiet: the job is queued, and its id not found. wait: sbatch returns when the job ended. test-only: no
    job. clusters: the job is in the queue of another cluster, and taken for gone here.
    """
    with pytest.raises(LauncherError, match=option):
        read_profile({"sbatch": {option: True}}, "p.yaml")


@pytest.mark.parametrize("option", ["part", "job", "out", "requ"])
def test_a_shortened_option_is_refused_as_the_option_is(option: str) -> None:
    with pytest.raises(LauncherError, match=option):
        read_profile({"sbatch": {option: "x"}}, "p.yaml")


# The script


@pytest.fixture
def srun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that has one; nothing else of SLURM is asked for a script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "srun").write_text("#!/bin/sh\nexit 1\n")
    (folder / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    yield


def options(script: str) -> dict[str, str | bool]:
    found: dict[str, str | bool] = {}
    for line in re.findall(r"^#SBATCH --(.*)$", script, re.MULTILINE):
        (word,) = shlex.split(line)
        name, equals, value = word.partition("=")
        assert name not in found, f"{name} twice"
        found[name] = value if equals else True
    return found


def test_the_script_holds_each_option_and_the_setup_in_order(tmp_path: Path, srun: None) -> None:
    profile = read_profile(
        {
            "partition": "gpu", "account": "lab", "qos": "high", "constraint": "a100|h100", "nodes": 2, "gpus": 4,
            "gpu_type": "a100", "cpus": 6, "memory": "64G", "time": "1-00:00:00", "array_parallelism": 3,
            "signal_seconds": 90, "setup": ["module load 'cu da'", "export A=$HOME"],
            "python": "singularity exec i.sif python",
            "sbatch": {"exclude": "n[1-3]", "exclusive": True, "mail-type": "FAIL"},
        },
        "p",
    )  # fmt: skip
    jobs, code = tmp_path / "my runs" / "jobs", tmp_path / "my runs" / "code"
    script = Submitter(profile, jobs, code).script(10)
    found = options(script)
    expected: dict[str, str | bool] = {
        "partition": "gpu", "account": "lab", "qos": "high", "constraint": "a100|h100", "nodes": "2",
        "ntasks-per-node": "4", "gres": "gpu:a100:4", "cpus-per-task": "6", "mem": "64G", "time": "1440",
        "signal": "USR2@90", "array": "0-9%3", "requeue": True, "exclude": "n[1-3]", "exclusive": True,
        "mail-type": "FAIL", "chdir": str(code), "open-mode": "append", "job-name": "segshift",
        "output": f"{jobs}/%A_%a_0_log.out",
    }  # fmt: skip
    assert found == expected
    assert "\n#SBATCH --requeue\n" in script
    lines = script.splitlines()
    setup = [lines.index(line) for line in profile.setup]
    command = next(number for number, line in enumerate(lines) if line.startswith("srun "))
    assert setup == sorted(setup) and setup[1] < command
    assert "singularity exec i.sif python -u -m submitit" in lines[command] and "--kill-on-bad-exit=1" in lines[command]
    assert not jobs.parent.exists()  # nothing is written
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_what_is_left_out_is_not_in_the_script(tmp_path: Path, srun: None) -> None:
    script = Submitter(Profile(gpus=0), tmp_path / "jobs", tmp_path).script(1)
    found = options(script)
    assert not {"gres", "partition", "account", "qos", "constraint", "mem", "array", "wckey", "error"} & set(found)
    assert found["requeue"] is True and found["ntasks-per-node"] == "1" and found["time"] == "1440"
    assert options(Submitter(Profile(), tmp_path / "jobs", tmp_path).script(7))["array"] == "0-6%7"


def test_the_setup_keeps_what_the_user_set(tmp_path: Path, srun: None) -> None:
    """PYTHONPATH is added to; OMP_NUM_THREADS, if set, stays."""
    script = Submitter(Profile(cpus=3), tmp_path / "jobs", tmp_path / "co de").script(1)
    setup = "\n".join(line for line in script.splitlines() if line.startswith("export "))
    show = setup + '\necho "$PYTHONPATH $OMP_NUM_THREADS"'
    for environment, expected in (
        ({}, f"{tmp_path}/co de 3"),
        ({"PYTHONPATH": "/mine", "OMP_NUM_THREADS": "8"}, f"{tmp_path}/co de:/mine 8"),
    ):
        done = subprocess.run(["/bin/bash", "-c", show], env=environment, text=True, capture_output=True)
        assert done.stdout.strip() == expected


def test_no_slurm_on_this_machine_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LauncherError, match=r"^--launcher slurm: no srun on the PATH"):
        list(Submitter(Profile(), tmp_path / "jobs", tmp_path).submit(abs, [1], FewElements()))


class FewElements(Scheduler):
    @property
    def array_size(self) -> int:
        return 8


# Paths


@pytest.mark.parametrize("name", ["a%j", "100%", "a\nb", "a\rb", "a\\b", "a\udcff"])
def test_a_path_that_sbatch_would_read_otherwise_is_refused_by_name(tmp_path: Path, name: str) -> None:
    for make in (
        lambda: Submitter(Profile(), tmp_path / name, tmp_path),
        lambda: Submitter(Profile(), tmp_path, tmp_path / name),
        lambda: submitter(tmp_path / name / "runs", Profile()),
        lambda: dry_submitter(tmp_path / name / "runs", Profile()),
    ):
        with pytest.raises(LauncherError) as error:
            make()
        line = str(error.value)
        assert repr(str(tmp_path / name))[1:-1] in line and "another --output" in line and "\n" not in line
    assert not list(tmp_path.iterdir())


def test_a_path_with_spaces_and_letters_stays_what_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "läufe 1"
    assert shlex.quote(f"{folder}/%j_0_log.out") in Submitter(Profile(), folder, tmp_path).script(1)
