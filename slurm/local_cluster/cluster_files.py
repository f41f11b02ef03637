"""What a `LocalCluster` is configured with: its programs, its folder, slurm.conf, gres.conf and the rest, free ports.

For SLURM 22.05 and later (slurm.conf(5), gres.conf(5), cgroup.conf(5)). Where a default does, nothing is said: names of
plugins that do nothing went away in later versions.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
KILL_WAIT = 2  # seconds from a job's SIGTERM to its SIGKILL
_DAEMONS = ("munged", "slurmctld", "slurmd")
_COMMANDS = ("sbatch", "srun", "scancel", "scontrol", "sinfo", "squeue")

_CONF = """\
ClusterName=local
SlurmctldHost=localhost({address})
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A requeued job waits until its old credential is over: 5 s is the least, 120 s the default.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
{loopback}
ProctrackType=proctrack/linuxproc
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait={kill_wait}
# Ended jobs stay known for four hours; a node's memory, the most that a job may ask for, is not counted.
MinJobAge=14400
MaxArraySize={max_array_size}
MaxJobCount={max_jobs}
FirstJobId={first_job}
ReturnToService=2
{gres_types}
NodeName={names} NodeHostname=localhost NodeAddr={address} Port={ports} CPUs={cpus} RealMemory=256000 {gres}
PartitionName=main Nodes=ALL Default=YES PriorityTier=10 PreemptMode=OFF
PartitionName=short Nodes=ALL MaxTime=1 PriorityTier=10 PreemptMode=OFF
PartitionName=preemptible Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE GraceTime=10
"""


class ClusterError(RuntimeError):
    """A local cluster cannot be started, or a part of it ended; one line."""


class SlurmMissingError(ClusterError):
    """SLURM or munge is not installed; names the programs, and the packages that have them."""


@dataclass
class Shape:
    """What a cluster pretends to have.

    Attributes:
        nodes: n1, n2 ...
        gpus: a node; 0 for a cluster without the ``gpu`` resource.
        cpus: a node.
        gpu_type: as in ``--gres gpu:TYPE:1``.
        accounting: whether there is a ``sacct`` that answers (`sacct_stand_in`, first on the PATH of the cluster's
            environment). Without it sacct says that accounting is disabled, as on clusters with no database.
        max_array_size: MaxArraySize, one more than the highest index of an array.
    """

    nodes: int = 2
    gpus: int = 2
    cpus: int = 8
    gpu_type: str | None = None
    accounting: bool = True
    max_array_size: int = 1001

    @property
    def node_names(self) -> list[str]:
        """The names of nodes: n1, n2 ..."""
        return [f"n{number}" for number in range(1, self.nodes + 1)]


def find_programs() -> dict[str, str]:
    """The paths of SLURM's and munge's programs, by name. SlurmMissingError: some are not there."""
    if sys.platform != "linux":
        raise ClusterError(f"a local cluster needs Linux, and this is {sys.platform}")
    path = os.environ.get("PATH", os.defpath)
    # The daemons are in folders that only root's PATH has.
    with_daemons = os.pathsep.join([path, "/usr/local/sbin", "/usr/sbin", "/sbin"])
    programs = {name: shutil.which(name, path=with_daemons) for name in _DAEMONS}
    programs |= {name: shutil.which(name, path=path) for name in _COMMANDS}
    if missing := [name for name, found in programs.items() if found is None]:
        raise SlurmMissingError(
            f"SLURM is not installed: no {', '.join(missing)}; on Debian and Ubuntu: "
            f"apt-get install --no-install-recommends {' '.join(PACKAGES)}"
        )
    return {name: found for name, found in programs.items() if found}


def make_folder() -> Path:
    """A temporary folder: its sockets' paths may have 107 characters, and slurm.conf knows no quotes."""
    parent = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="slurm-", dir=parent if re.fullmatch(r"[\w./-]{1,60}", parent) else "/tmp"))


def write_files(folder: Path, shape: Shape, slurmctld: str) -> None:
    """All that the daemons read; ``slurmctld`` is asked for its version."""
    for name in ("state", "bin", *(f"spool.{node}" for node in shape.node_names)):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(128))
    (folder / "slurm.conf").write_text(_slurm_conf(folder, shape))
    (folder / "gres.conf").write_text(_gres_conf(folder, shape))
    # Where it can be said, say that cgroups are none of our business; earlier, nobody asks.
    answer = subprocess.run([slurmctld, "-V"], capture_output=True, text=True).stdout
    version = re.search(r"(\d+)\.(\d+)", answer)
    if version and (int(version[1]), int(version[2])) >= (23, 11):
        (folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
    if shape.accounting:
        stand_in = shlex.join([sys.executable, "-ISB", str(Path(__file__).with_name("sacct_stand_in.py"))])
        (folder / "bin" / "sacct").write_text(f'#!/bin/sh\nexec {stand_in} "$@"\n')
        (folder / "bin" / "sacct").chmod(0o755)


def _slurm_conf(folder: Path, shape: Shape) -> str:
    port, (address, is_name) = _free_ports(shape.nodes + 1), _loopback()
    return _CONF.format(
        folder=folder,
        user=_user(),
        address=address,
        loopback="CommunicationParameters=NoCtldInAddrAny,NoInAddrAny" if is_name else "",
        port=port,
        ports=_span("", port + 1, shape.nodes, brackets=False),
        names=_span("n", 1, shape.nodes),
        cpus=shape.cpus,
        gres_types="GresTypes=gpu" if shape.gpus else "",
        gres="Gres=" + ":".join(filter(None, ["gpu", shape.gpu_type, str(shape.gpus)])) if shape.gpus else "",
        kill_wait=KILL_WAIT,
        max_array_size=shape.max_array_size,
        max_jobs=max(10_000, 2 * shape.max_array_size),
        # submitit keeps states by job id, for all clusters of a process alike.
        first_job=1000 * (1 + secrets.randbelow(60_000)),
    )


def _gres_conf(folder: Path, shape: Shape) -> str:
    lines = ["AutoDetect=off"]
    if shape.gpus:
        # A GPU without a device file leaves the node drained; any file does, and nothing opens it.
        for number in range(shape.gpus):
            (folder / f"gpu{number}").symlink_to(os.devnull)
        kind = f" Type={shape.gpu_type}" if shape.gpu_type else ""
        files = _span(f"{folder}/gpu", 0, shape.gpus)
        lines.append(f"NodeName={_span('n', 1, shape.nodes)} Name=gpu{kind} File={files}")
    return "\n".join([*lines, ""])


def _user() -> str:
    import pwd  # not everywhere, and the module is imported everywhere

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise ClusterError(f"local cluster: user id {os.getuid()} has no name, expected it in /etc/passwd") from None


def _loopback() -> tuple[str, bool]:
    """The address to listen on, and whether it is what this machine's name means, as listening there alone needs."""
    with contextlib.suppress(OSError):
        address = socket.gethostbyname(socket.gethostname())
        if ipaddress.ip_address(address).is_loopback:
            return address, True
    return "127.0.0.1", False


def _free_ports(count: int) -> int:
    """The first of so many free ports in a row, below those that the system hands out."""
    for _ in range(1000):
        first = 17_000 + secrets.randbelow(14_000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("", port))
            return first
    raise ClusterError(f"local cluster: found no {count} free ports in a row between 17000 and 31000")


def _span(name: str, first: int, count: int, brackets: bool = True) -> str:
    if count == 1:
        return f"{name}{first}"
    numbers = f"{first}-{first + count - 1}"
    return f"{name}[{numbers}]" if brackets else f"{name}{numbers}"
