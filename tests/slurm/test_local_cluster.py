"""A SLURM on this machine does what a cluster does, and leaves nothing behind however it ends."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from submitit.slurm.slurm import SlurmExecutor

from benchmarks.core.checkout import ROOT
from slurm.local_cluster import __main__ as local_cluster
from slurm.local_cluster.cluster import ClusterError, LocalCluster, SlurmMissingError

UNTIL_GO = "until [ -e go ]; do sleep 0.05; done"


def wait_until(is_so: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def submit(cluster: LocalCluster, folder: Path, script: str, *options: str) -> str:
    done = cluster.run("sbatch", "--parsable", "-D", str(folder), "-o", f"{folder}/%j.log", *options, "--wrap", script)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def state(cluster: LocalCluster, job: str) -> str:
    """As the controller says it."""
    shown = cluster.run("scontrol", "show", "job", "-o", job).stdout
    return shown.partition("JobState=")[2].partition(" ")[0]


def queue(cluster: LocalCluster, form: str) -> list[str]:
    return sorted(cluster.run("squeue", "-h", "-r", "-o", form).stdout.splitlines())


def processes_of(folder: Path) -> list[str]:
    """Those that run below a cluster's folder, have it in their environment, or were told of it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            said = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            if f"{folder}/".encode() in said and process.name != str(os.getpid()):
                found.append(said.decode(errors="replace"))
    return found


def test_a_gpu_is_one_jobs_at_a_time(slurm_cluster: LocalCluster, tmp_path: Path) -> None:
    tell = f"echo $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES > $SLURM_JOB_ID.gpu; {UNTIL_GO}"
    pair = submit(slurm_cluster, tmp_path, tell, "--gpus-per-node=2", "--nodelist=n2")
    singles = [submit(slurm_cluster, tmp_path, tell, "--gpus-per-node=1") for _ in range(3)]
    wait_until(lambda: len(list(tmp_path.glob("*.gpu"))) == 3 and "PENDING Resources" in queue(slurm_cluster, "%T %r"))
    assert (tmp_path / f"{pair}.gpu").read_text() == "n2 0,1\n"
    assert {(tmp_path / f"{job}.gpu").read_text() for job in singles[:2]} == {"n1 0\n", "n1 1\n"}
    assert state(slurm_cluster, singles[2]) == "PENDING"
    (tmp_path / "go").touch()
    wait_until(lambda: {state(slurm_cluster, job) for job in [pair, *singles]} == {"COMPLETED"})


def test_an_array_keeps_to_its_parallelism(slurm_cluster: LocalCluster, tmp_path: Path) -> None:
    """Each task marks its beginning and its end: the most that were between the two at a time is two."""
    script = f"date +'%s.%N 1' >> marks; {UNTIL_GO}; sleep 0.2; date +'%s.%N -1' >> marks"
    job = submit(slurm_cluster, tmp_path, script, "--array=0-4%2")
    wait_until(lambda: queue(slurm_cluster, "%T %r") == ["PENDING JobArrayTaskLimit"] * 3 + ["RUNNING None"] * 2)
    assert queue(slurm_cluster, "%i") == [f"{job}_{task}" for task in range(5)]
    (tmp_path / "go").touch()
    wait_until(lambda: not queue(slurm_cluster, "%i"))
    marks = sorted(line.split() for line in (tmp_path / "marks").read_text().splitlines())
    running = [sum(int(change) for _, change in marks[: n + 1]) for n in range(len(marks))]
    assert len(running) == 10 and max(running) == 2
    answered = slurm_cluster.run("sacct", "-n", "-P", "-o", "JobID,State,ExitCode", "-j", job).stdout.split()
    assert sorted(answered) == [f"{job}_{task}|COMPLETED|0:0" for task in range(5)]


def test_cancel_and_requeue(slurm_cluster: LocalCluster, tmp_path: Path) -> None:
    script = 'echo $$ > $SLURM_JOB_ID.$SLURM_RESTART_COUNT.pid; [ "$SLURM_RESTART_COUNT" ] || sleep 600'
    cancelled, requeued = (submit(slurm_cluster, tmp_path, script, "--requeue") for _ in range(2))
    pids = [tmp_path / f"{job}..pid" for job in (cancelled, requeued)]
    wait_until(lambda: all(pid.exists() and pid.read_text() for pid in pids))
    assert slurm_cluster.run("scontrol", "requeue", requeued).returncode == 0
    assert slurm_cluster.run("scancel", cancelled).returncode == 0
    wait_until(lambda: state(slurm_cluster, cancelled) == "CANCELLED")
    assert f"CANCELLED by {os.getuid()}" in slurm_cluster.run("sacct", "-j", cancelled).stdout
    wait_until(lambda: not any(Path("/proc", pid.read_text().strip()).exists() for pid in pids))
    wait_until(lambda: state(slurm_cluster, requeued) == "COMPLETED")
    assert (tmp_path / f"{requeued}.1.pid").exists()


def test_the_queue_survives_its_controller(slurm_cluster: LocalCluster, tmp_path: Path) -> None:
    """Running jobs go on, also to their end, while it is away; waiting ones are still there, and start only when the
    nodes have registered: see `LocalCluster.start_controller` for what happened before."""
    runs = submit(slurm_cluster, tmp_path, f"echo > started; {UNTIL_GO}; echo > ended", "-N2", "--exclusive")
    waits = submit(slurm_cluster, tmp_path, "echo > second")
    held = submit(slurm_cluster, tmp_path, "true", "--hold")
    wait_until((tmp_path / "started").exists)
    assert state(slurm_cluster, waits) == "PENDING"
    slurm_cluster.stop_controller()
    (tmp_path / "go").touch()
    wait_until((tmp_path / "ended").exists)
    assert "is DOWN" in slurm_cluster.run("scontrol", "ping").stdout
    assert not (tmp_path / "second").exists()
    slurm_cluster.start_controller()
    back = time.time()
    assert slurm_cluster.run("scontrol", "show", "node", "-o").stdout.count(" BootTime=20") == 2
    assert set(slurm_cluster.run("sinfo", "-h", "-o", "%a").stdout.split()) == {"up"}
    assert state(slurm_cluster, held) == "PENDING"
    wait_until(lambda: state(slurm_cluster, waits) == "COMPLETED" and (tmp_path / "second").exists())
    assert (tmp_path / "second").stat().st_mtime > back - 1.5  # it would start three seconds before they register
    assert state(slurm_cluster, runs) == "COMPLETED"
    slurm_cluster.run("scancel", held)


def test_a_preemptible_job_makes_room(slurm_cluster: LocalCluster, tmp_path: Path) -> None:
    """It gets the signal that it asked for, in time to queue itself again."""
    script = 'trap "scontrol requeue $SLURM_JOB_ID" USR2; echo >> starts; while :; do sleep 0.1; done'
    whole = ("-N2", "--exclusive")
    low = submit(slurm_cluster, tmp_path, script, *whole, "-p", "preemptible", "--signal=B:USR2@60", "--time=60")
    wait_until((tmp_path / "starts").exists)
    high = submit(slurm_cluster, tmp_path, "true", *whole)
    wait_until(lambda: state(slurm_cluster, high) == "COMPLETED")
    assert queue(slurm_cluster, "%i %T %P") == [f"{low} PENDING preemptible"]
    assert " Restarts=1 " in slurm_cluster.run("scontrol", "show", "job", "-o", low).stdout
    slurm_cluster.run("scancel", low)


def test_submitit_runs_a_function(slurm_environment: LocalCluster, tmp_path: Path) -> None:
    executor = SlurmExecutor(tmp_path)
    executor.update_parameters(time=5, gpus_per_node=2, array_parallelism=2, setup=["export SET_UP=here"])
    jobs = executor.map_array(os.getenv, ["CUDA_VISIBLE_DEVICES", "SET_UP", "SLURM_CONF"])
    assert [job.result() for job in jobs] == ["0,1", "here", str(slurm_environment.conf)]
    assert len({job.job_id.partition("_")[0] for job in jobs}) == 1
    wait_until(lambda: [job.watcher.get_state(job.job_id, mode="force") for job in jobs] == ["COMPLETED"] * 3)


def test_two_side_by_side_and_nothing_after_the_end(slurm_installed: None, tmp_path: Path) -> None:
    """The one that ends takes a running job with it, also a part of it that left its parent; the other goes on."""
    other = LocalCluster(nodes=1, gpus=1, gpu_type="a100", accounting=False, max_array_size=5)
    with LocalCluster(nodes=1, gpus=0) as one, other:
        stays = submit(other, tmp_path, f"echo $CUDA_VISIBLE_DEVICES > typed; {UNTIL_GO}", "--gres=gpu:a100:1")
        script = "(setsid sleep 600 &); trap 'echo > told; exit' TERM; echo > runs; sleep 600 & wait"
        gone = submit(one, tmp_path, script)
        wait_until(lambda: (tmp_path / "typed").exists() and (tmp_path / "runs").exists())
        assert stays != gone and one.folder != other.folder
        assert len([said for said in processes_of(one.folder) if "sleep" in said.split("\0")]) == 2
        one.stop()
        one.stop()
        assert processes_of(one.folder) == [] and not one.folder.exists()
        assert (tmp_path / "told").exists()  # the job had its SIGTERM first
        assert state(other, stays) == "RUNNING"
        without = other.run("sacct", "-j", stays)
        assert without.returncode != 0 and "accounting storage is disabled" in without.stderr
        refused = other.run("sbatch", "--array=0-5", "--wrap", "true")
        assert refused.returncode != 0 and "Invalid job array specification" in refused.stderr
        (tmp_path / "go").touch()
        wait_until(lambda: state(other, stays) == "COMPLETED")
    assert (tmp_path / "typed").read_text() == "0\n"
    assert processes_of(other.folder) == [] and not other.folder.exists()


def test_a_killed_owner_leaves_nothing(slurm_installed: None, tmp_path: Path) -> None:
    """Not even a job, and although a process that it forked still has its files open."""
    script = f"""
import os, time
from slurm.local_cluster.cluster import LocalCluster
with LocalCluster(nodes=1, gpus=0) as cluster:
    cluster.run("sbatch", "-o", "/dev/null", "--wrap", "echo > {tmp_path}/runs; sleep 600")
    while not os.path.exists("{tmp_path}/runs"):
        time.sleep(0.05)
    if os.fork() == 0:
        time.sleep(20)
        os._exit(0)
    print(cluster.folder, flush=True)
    time.sleep(600)
"""
    owner = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    folder = Path(owner.stdout.readline().strip())
    assert len(processes_of(folder)) >= 5  # munged, slurmctld, slurmd, the job's and their keeper
    owner.kill()
    owner.wait()
    owner.stdout.close()
    wait_until(lambda: not processes_of(folder) and not folder.exists(), 15)


def test_the_command(slurm_installed: None, tmp_path: Path) -> None:
    """Around a command, which may fail; and alone, until it is told to stop."""
    call = [sys.executable, "-m", "slurm.local_cluster", "--nodes", "1", "--gpus", "0"]
    inside = "sinfo -h -p main -o '%N %T'; echo $SLURM_CONF $SLURM_JOB_ID; exit 7"
    environment = os.environ | {"SLURM_JOB_ID": "99"}
    done = subprocess.run([*call, "--", "sh", "-c", inside], cwd=ROOT, env=environment, capture_output=True, text=True)
    nodes, conf = done.stdout.splitlines()
    assert (done.returncode, nodes, done.stderr) == (7, "n1 idle", "")
    assert conf.endswith("/slurm.conf") and not Path(conf).parent.exists()

    alone = subprocess.Popen(call, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert alone.stdout
    told = list(itertools.takewhile(lambda line: not line.startswith("Ctrl-C"), alone.stdout))
    conf, path = (line.partition("=")[2].strip() for line in told if line.startswith("    export "))
    folder = Path(conf).parent
    assert folder.is_dir() and path.startswith(f"{folder}/bin:")
    alone.send_signal(signal.SIGINT)
    assert alone.wait(20) == 128 + signal.SIGINT and not folder.exists()
    alone.stdout.close()


def test_a_daemon_that_ends_is_told_with_its_last_lines(
    slurm_installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("slurm.local_cluster.cluster_files._free_ports", lambda count: 70_000)
    told = r"^local cluster: slurmctld ended with exit code 1: .*fatal: Invalid Port 70001-70002$"
    with pytest.raises(ClusterError, match=told), LocalCluster():
        pass
    assert list(tmp_path.iterdir()) == []


def test_without_slurm_the_packages_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = tmp_path / "nothing"
    monkeypatch.setattr("shutil.which", lambda name, path=None: None if name in ("slurmd", "sinfo") else str(nothing))
    told = r"no slurmd, sinfo; .* slurmctld slurmd slurm-client munge"
    with pytest.raises(SlurmMissingError, match=told), LocalCluster():
        pass
    assert local_cluster.main(["--", "true"]) == 2
    assert capsys.readouterr().err.startswith("error: SLURM is not installed: no slurmd, sinfo")
    monkeypatch.setattr("sys.platform", "darwin")
    assert local_cluster.main(shlex.split("--nodes 3")) == 2
    assert capsys.readouterr().err == "error: a local cluster needs Linux, and this is darwin\n"
