"""What a job asks SLURM for: the keys of a profile, which command-line options can replace one by one."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from slurm.base.errors import LauncherError

_NO_LIMIT = 1_000_000
_MEMORY = re.compile(r"0|\d+[KMGT]B?", re.IGNORECASE)
_TIME = re.compile(
    r"(?P<days>\d+)-(?P<d1>\d+)(?::(?P<d2>\d+))?(?::(?P<d3>\d+))?|(?P<a>\d+)(?::(?P<b>\d+))?(?::(?P<c>\d+))?"
)
# Options of sbatch that are a key here, or decided by us: said twice, the last would win without a word.
_OURS = {
    "partition": "partition", "account": "account", "qos": "qos", "constraint": "constraint", "nodes": "nodes",
    "gres": "gpus and gpu_type", "gpus": "gpus", "gpus-per-node": "gpus", "gpus-per-task": "gpus",
    "cpus-per-task": "cpus", "mem": "memory", "time": "time", "signal": "signal_seconds", "array": "array_parallelism",
    "ntasks": "gpus and nodes", "ntasks-per-node": "gpus", "tasks-per-node": "gpus", "chdir": "", "output": "",
    "error": "", "open-mode": "", "requeue": "", "no-requeue": "", "job-name": "", "dependency": "",
    "parsable": "",  # with it, or quiet, a job is queued whose id is not found
    "quiet": "", "wait": "", "wrap": "", "test-only": "",
    "clusters": "",  # a job in the queue of another cluster would be taken for gone
}  # fmt: skip


def is_one_line(text: str) -> bool:
    """Whether it stays on its line of a batch script, and can be written there: no line break, no control character."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text)


def parse_time(text: Any) -> int:
    """Whole minutes, rounded up, of a time limit as sbatch writes it. ValueError says what was expected."""
    match = _TIME.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError("a time such as 1-12:00:00, 24:00:00 or 90 (minutes)")
    part = {name: int(number or 0) for name, number in match.groupdict().items()}
    if match["days"] is not None:
        seconds = 86400 * part["days"] + 3600 * part["d1"] + 60 * part["d2"] + part["d3"]
    elif match["c"] is not None:
        seconds = 3600 * part["a"] + 60 * part["b"] + part["c"]
    else:
        seconds = 60 * part["a"] + part["b"]  # minutes, or minutes:seconds
    if seconds == 0:
        raise ValueError("a time of at least a minute")
    return -(-seconds // 60)


# What is read of a field's value: the value as the field holds it, or a ValueError that says what was expected.


def _at_least(least: int) -> Callable[[Any], int]:
    def whole_number(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"a whole number, at least {least}")
        return value

    return whole_number


def _limit(value: Any) -> int | None:
    return None if value is None else _at_least(1)(value)


def _name(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    if isinstance(value, int) and not isinstance(value, bool):  # an account can look like a number
        return str(value)
    raise ValueError("a name")


def _memory(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and _MEMORY.fullmatch(value)):
        raise ValueError("a number with its unit, such as 32G")
    return value


def _time(value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    parse_time(text)
    return str(text)


def _setup(value: Any) -> tuple[str, ...]:
    lines = value.splitlines() if isinstance(value, str) else value
    if not isinstance(lines, (list, tuple)) or not all(isinstance(line, str) for line in lines):
        raise ValueError("lines of bash")
    if any("\n" in line or "\r" in line for line in lines):
        raise ValueError("lines of bash, each an item of its own")
    if any(line.startswith("#SBATCH") for line in lines):  # sbatch would heed it, there too
        raise ValueError("lines of bash, and options of sbatch under the key sbatch")
    return tuple(lines)


def _sbatch(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("options of sbatch and their values")
    found: dict[str, Any] = {}
    for name, option in value.items():
        plain = str(name).lstrip("-").replace("_", "-")
        # sbatch takes the beginning of an option for the option.
        ours = plain if plain in _OURS else next((each for each in _OURS if each.startswith(plain)), "")
        if ours:
            instead = f"the key {_OURS[ours]} instead" if _OURS[ours] else "none: it is decided here"
            raise ValueError(f"of {plain} {instead}")
        if not re.fullmatch(r"[a-z][a-z0-9-]*", plain) or not isinstance(option, (str, int, float, bool)):
            raise ValueError(f"for {name} an option of sbatch in its long form, with a text, a number or true")
        if isinstance(option, str) and not is_one_line(option):
            raise ValueError(f"for {name} one line without control characters")
        if option is not False:
            found[plain] = option
    return found


def _key(read: Callable[[Any], Any], default: Any) -> Any:
    return field(default=default, metadata={"read": read})


@dataclass(frozen=True)
class Profile:
    """The resources of one run, and how its job is started. The keys of a profile file are these fields.

    Raises LauncherError, from `read_profile` and `changed`, for a value that makes no sense.
    """

    partition: str | None = _key(_name, None)  # None: the cluster's default; as of account, qos, constraint, memory
    account: str | None = _key(_name, None)
    qos: str | None = _key(_name, None)
    constraint: str | None = _key(_name, None)  # a feature of nodes, such as "a100|h100"
    nodes: int = _key(_at_least(1), 1)
    gpus: int = _key(_at_least(0), 1)  # on each node; one process each. 0: one process without a GPU
    gpu_type: str | None = _key(_name, None)  # as the cluster calls it: "a100" in --gres gpu:a100:1
    cpus: int = _key(_at_least(1), 4)  # for each process: its loader workers (NUM_WORKERS) and itself
    memory: str | None = _key(_memory, None)  # of each node, such as "32G"
    time: str = _key(_time, "24:00:00")  # limit of one session, as sbatch writes it; the run goes on in another
    array_parallelism: int | None = _key(_limit, None)  # runs at a time, at most; None: as many as the cluster lets
    signal_seconds: int = _key(_at_least(10), 120)  # how long before the limit a run is told to save and queue again
    setup: tuple[str, ...] = _key(_setup, ())  # lines of bash before the run, such as "module load cuda"
    python: str | None = _key(_name, None)  # in place of this one, such as "singularity exec image.sif python"
    # Any other option, as "exclude: n[1-3]"; true: a flag.
    sbatch: Mapping[str, Any] = field(default_factory=dict, metadata={"read": _sbatch})

    @property
    def minutes(self) -> int:
        """The time limit in whole minutes, which is what SLURM counts in."""
        return parse_time(self.time)

    @property
    def ranks(self) -> int:
        """The number of processes that train one run together."""
        return self.nodes * max(1, self.gpus)

    def parameters(self) -> dict[str, Any]:
        """The settings as submitit's SlurmExecutor takes them."""
        gpus = f"gpu:{self.gpu_type}:{self.gpus}" if self.gpu_type else f"gpu:{self.gpus}"
        asked = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "nodes": self.nodes,
            "ntasks_per_node": max(1, self.gpus),
            "gres": gpus if self.gpus else None,  # understood by every version, and counted per node by all
            "cpus_per_task": self.cpus,
            "mem": self.memory,
            "time": self.minutes,
            "signal_delay_s": self.signal_seconds,
            "array_parallelism": self.array_parallelism or _NO_LIMIT,
            "wckey": None,  # submitit's default is refused where wckeys are enforced
        }
        return {key: value for key, value in asked.items() if value is not None or key == "wckey"}

    def dump(self) -> dict[str, Any]:
        """The mapping that `read_profile` takes, without keys that are as they are by default."""
        usual = asdict(Profile())
        values = asdict(self) | {"setup": list(self.setup), "sbatch": dict(self.sbatch)}
        return {key: value for key, value in values.items() if value != usual[key] and value not in ([], {})}


def read_profile(values: Any, where: str) -> Profile:
    """The profile of a mapping, as YAML gives it; ``where`` is what errors begin with."""
    if not isinstance(values, dict):
        raise LauncherError(f"{where}: expected keys and values of a profile, found {type(values).__name__}")
    return changed(Profile(), values, where)


def changed(profile: Profile, values: Mapping[str, Any], where: str) -> Profile:
    """The profile with other values; LauncherError names the key and what was expected."""
    known = {each.name: each for each in fields(Profile)}
    found: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
            raise LauncherError(f"{where}: unknown key {key}; {hint}")
        try:
            if isinstance(value, str) and key != "setup" and not is_one_line(value):
                raise ValueError("one line without control characters")
            found[key] = known[key].metadata["read"](value)
        except ValueError as error:
            raise LauncherError(f"{where}: {key} is {value!r}, expected {error}") from None
    made = replace(profile, **found)
    if made.gpu_type and not made.gpus:
        raise LauncherError(f"{where}: gpu_type is {made.gpu_type!r}, but gpus is 0")
    if made.nodes > 1 and not made.gpus:
        raise LauncherError(f"{where}: nodes is {made.nodes}, but gpus is 0: several nodes are for GPUs")
    if made.signal_seconds >= 60 * made.minutes:
        raise LauncherError(
            f"{where}: signal_seconds is {made.signal_seconds}, expected less than time, which is {made.time}"
        )
    return made
