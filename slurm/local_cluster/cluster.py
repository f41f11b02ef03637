"""A real SLURM on this machine, for tests and for trying a profile: several nodes, pretended CPUs and GPUs, no root.

It needs Linux and the programs of SLURM and munge; nothing of theirs is configured or started system-wide, and
everything it writes is in one temporary folder. SLURM counts CPUs and GPUs but confines nobody to them: a job's GPUs
are what CUDA_VISIBLE_DEVICES says, and all nodes are this machine.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from slurm.local_cluster.cluster_files import (
    KILL_WAIT,
    ClusterError,
    Shape,
    SlurmMissingError,
    find_programs,
    make_folder,
    write_files,
)
from slurm.local_cluster.daemons import start_daemon

__all__ = ["ClusterError", "LocalCluster", "SlurmMissingError", "is_slurm_variable"]

_START_SECONDS = 60.0  # it takes less than one on an idle machine
# Set in jobs by SLURM, or read by its commands as options: not to be inherited from the cluster that we may be in.
_VARIABLES = re.compile(r"(SLURM|SLURMD|SBATCH|SRUN|SALLOC|SCANCEL|SCONTROL|SINFO|SQUEUE|SACCT)_")


@dataclass
class LocalCluster(Shape):
    """munge, a controller and one slurmd a node, in the foreground of this machine. A context manager.

    Its partitions are ``main`` (the default, no limit), ``short`` (jobs end after a minute) and ``preemptible`` (its
    jobs make room for those of the others: they get the signal that ``--signal`` asked for, or SIGTERM, and those still
    there some ten to forty seconds later are killed and requeued).
    ``run("scontrol", "update", "NodeName=n1", "State=DOWN", "Reason=test")`` is a node that fails; ``State=RESUME``
    brings it back.

    It listens on loopback alone where this machine's name resolves to a loopback address (as on Debian), otherwise on
    all interfaces; nobody is let in without the munge key in its folder. When this process dies, however it does, the
    cluster and its jobs go too.
    """

    def __post_init__(self) -> None:
        """Describe a cluster; nothing is started yet."""
        self._programs: dict[str, str] = {}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> LocalCluster:
        """Start everything; returns when all nodes are idle. ClusterError: it cannot."""
        self._programs = find_programs()
        self.folder = make_folder()
        self.conf = self.folder / "slurm.conf"
        try:
            write_files(self.folder, self, self._programs["slurmctld"])
            key, munge = self.folder / "munge.key", self.folder / "munge.socket"
            self._start("munged", "-F", "--force", f"--key-file={key}", f"--socket={munge}",
                        f"--pid-file={self.folder}/munged.pid", f"--log-file={self.folder}/munged.log",
                        f"--seed-file={self.folder}/munge.seed", "--num-threads=2")  # fmt: skip
            self._wait("munge answers", munge.exists)
            self._start_controller()
            for node in self.node_names:
                self._start(f"slurmd.{node}", "-D", "-N", node, "-f", str(self.conf))
            self._wait("the nodes are idle", self._all_idle)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """What leads SLURM's commands to this cluster: SLURM_CONF, and PATH."""
        path = os.environ.get("PATH", os.defpath)
        return {
            "SLURM_CONF": str(self.conf),
            "PATH": f"{self.folder}/bin{os.pathsep}{path}" if self.accounting else path,
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in this cluster, whatever SLURM this process is in, and give its exit code and output.

        Raises subprocess.TimeoutExpired after a minute.
        """
        environment = outside_slurm() | self.environment
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    def start_controller(self) -> None:
        """Start slurmctld with the queue that the last one left; returns when it answers and knows the nodes again."""
        self._start_controller()
        # Four seconds after its start it asks the nodes what they run. A slurmd that then meets a job between two
        # system calls of its start (bind and listen) takes it for what a dead one left, and deletes its script. Both
        # happen in the same turn of slurmctld's loop, so it is not rare: no job starts before the nodes have answered.
        self._set_partitions("DOWN")
        self._wait("the nodes are registered", self._all_registered)
        self._set_partitions("UP")

    def _start_controller(self) -> None:
        self._start("slurmctld", "-D", "-i", "-f", str(self.conf))
        self._wait("the controller answers", lambda: " UP" in self.run("scontrol", "ping").stdout)

    def stop_controller(self) -> None:
        """End slurmctld: jobs run on, the queue stays on disk, and commands fail until `start_controller`."""
        daemon = self._daemons.pop("slurmctld")
        daemon.terminate()
        daemon.wait()

    def restart_controller(self) -> None:
        """Stop and start slurmctld."""
        self.stop_controller()
        self.start_controller()

    def check(self) -> None:
        """Raise ClusterError if a daemon ended that nobody stopped."""
        for name, daemon in self._daemons.items():
            if (code := daemon.poll()) is None:
                continue
            lines = (self.folder / f"{name}.out").read_text(errors="replace").splitlines() or ["it said nothing"]
            bad = [line for line in lines if re.search("fatal|error", line, re.IGNORECASE)]
            raise ClusterError(f"local cluster: {name} ended with exit code {code}: {(bad or lines)[-1]}")

    def stop(self) -> None:
        """Cancel the jobs, end the daemons and remove the folder. Can be called twice."""
        with contextlib.suppress(ClusterError, subprocess.TimeoutExpired):
            if "slurmctld" in self._daemons:
                self.check()
                self._cancel_jobs()
        self._end()

    def _cancel_jobs(self) -> None:
        # Only a courtesy, so that jobs get their SIGTERM: whatever is left is killed with the daemons.
        until = time.monotonic() + KILL_WAIT + 3
        if self.run("squeue", "-h").stdout.strip():
            self.run("scancel", "--quiet", f"--user={os.getuid()}")
            while self.run("squeue", "-h").stdout.strip() and time.monotonic() < until:
                time.sleep(0.1)

    def _end(self) -> None:
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
        for daemon in self._daemons.values():
            daemon.wait()
        self._daemons.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, name: str, *arguments: str) -> None:
        command = [self._programs[name.partition(".")[0]], *arguments]
        environment = outside_slurm() | {"SLURM_CONF": str(self.conf)}
        self._daemons[name] = start_daemon(name, command, self.folder, environment)

    def _wait(self, what: str, is_so: Callable[[], bool]) -> None:
        until = time.monotonic() + _START_SECONDS
        while not is_so():
            self.check()
            if time.monotonic() > until:
                raise ClusterError(f"local cluster: after {_START_SECONDS:.0f} s still waiting until {what}")
            time.sleep(0.05)

    def _all_idle(self) -> bool:
        states = self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%T").stdout.split()
        return states == ["idle"] * self.nodes

    def _all_registered(self) -> bool:
        # When a node was booted is what it says itself, and what slurmctld does not keep.
        nodes = self.run("scontrol", "show", "node", "-o").stdout
        return len(re.findall(r" BootTime=\d", nodes)) == self.nodes

    def _set_partitions(self, state: str) -> None:
        for name in set(self.run("sinfo", "-h", "-o", "%R").stdout.split()):
            done = self.run("scontrol", "update", f"PartitionName={name}", f"State={state}")
            if done.returncode:
                raise ClusterError(f"local cluster: partition {name} cannot be {state}: {done.stderr.strip()}")


def is_slurm_variable(name: str) -> bool:
    """Whether SLURM sets this environment variable in jobs, or its commands read it as an option."""
    return bool(_VARIABLES.match(name))


def outside_slurm() -> dict[str, str]:
    """This process's environment without what SLURM sets in jobs."""
    return {name: value for name, value in os.environ.items() if not is_slurm_variable(name)}
