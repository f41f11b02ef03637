"""Where the runs of a command are made: here, in processes of this machine, or as jobs of SLURM."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cli.run_options import INLINE, LOCAL, PROFILE_OPTIONS, SLURM
from benchmarks.core.errors import ConfigError
from benchmarks.core.yaml_file import read_yaml
from slurm.jobs.profile import Profile, changed, read_profile

PROFILES = Path(__file__).resolve().parents[2] / "slurm" / "profiles"

_USUAL_JOBS = 4


@dataclass(frozen=True)
class Launcher:
    """What ``--launcher`` and the options beside it ask for.

    Attributes:
        kind: ``inline``, ``local`` or ``slurm``.
        parallel: runs at a time, of ``local``; of ``slurm`` it is for commands that submit one run after the other.
        gpus: of one run, on each node.
        profile: of ``slurm``.
        wait: of ``slurm``: whether the command stays until all runs have an end.
    """

    kind: str = INLINE
    parallel: int = 1
    gpus: int = 1
    profile: Profile = field(default_factory=Profile)
    wait: bool = True

    @property
    def ranks(self) -> int:
        """Processes that make one run together."""
        return self.profile.ranks if self.kind == SLURM else self.gpus


def read_launcher(arguments: argparse.Namespace) -> Launcher:
    """The launcher of a command line (`benchmarks.cli.run_options.add_launcher_options`).

    Raises:
        ConfigError, LauncherError: an option that the launcher does not take, or a value that makes no sense.
    """
    kind: str = arguments.launcher
    parallel: int | None = arguments.parallel
    if parallel is not None and kind == INLINE:
        raise ConfigError(f"--parallel is {parallel}, expected --launcher local with it")
    if parallel is not None and parallel < 1:
        raise ConfigError(f"--parallel is {parallel}, expected at least 1")
    if kind != SLURM:
        return _here(arguments, kind, parallel)
    profile = read_profile_options(arguments, Profile())
    usual = profile.array_parallelism or _USUAL_JOBS
    return Launcher(SLURM, parallel or usual, profile.gpus, profile, not getattr(arguments, "no_wait", False))


def _here(arguments: argparse.Namespace, kind: str, parallel: int | None) -> Launcher:
    from slurm.processes.local import usual_parallel

    for name in ("profile", *PROFILE_OPTIONS, "sbatch", "no_wait"):
        value = getattr(arguments, name, None)
        if value is not None and value is not False:
            raise ConfigError(f"--{name.replace('_', '-')} is an option of slurm, expected --launcher slurm with it")
    gpus = 1 if arguments.gpus is None else arguments.gpus
    if gpus < 1:
        raise ConfigError(f"--gpus is {gpus}, expected at least 1")
    if parallel is None:
        parallel = usual_parallel(gpus) if kind == LOCAL else 1
    return Launcher(kind, parallel, gpus)


def read_profile_options(arguments: argparse.Namespace, usual: Profile) -> Profile:
    """The profile of ``--profile``, or else ``usual``, with what other options say in place of its keys.

    Raises:
        ConfigError: no such profile; LauncherError: an unknown key, or a value that makes no sense.
    """
    profile = named_profile(arguments.profile) if arguments.profile else usual
    for key in ("gpus", *PROFILE_OPTIONS):  # several nodes, or a type, are for GPUs
        if (value := getattr(arguments, key)) is not None:
            profile = changed(profile, {key: value}, f"--{key.replace('_', '-')}")
    more: dict[str, Any] = {}
    for option in arguments.sbatch or []:
        name, equals, value = option.partition("=")
        more[name] = int(value) if value.isdigit() and str(int(value)) == value else value if equals else True
    return changed(profile, {"sbatch": {**profile.sbatch, **more}}, "--sbatch") if more else profile


def named_profile(name: str) -> Profile:
    """The profile that ships under ``name``, or that of a YAML file. Raises ConfigError or LauncherError."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = PROFILES / f"{name}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(each.stem for each in PROFILES.glob("*.yaml")))
            raise ConfigError(f"--profile {name}: no such profile, expected the path of a YAML file, or one of {known}")
    return read_profile(read_yaml(path, "a profile") or {}, str(path))
