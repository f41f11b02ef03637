"""The steps of set-up, in order, each said in one line."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import detectron2_wheel, project
from .environment import Environment, ensure_venv, last_line
from .errors import IncompleteError, InstallError

STEPS = 5
VENV = project.CHECKOUT / ".venv"
CACHE = project.CHECKOUT / ".cache" / "install"
STAMP = "segshift-install.json"

_IMPORT_DETECTRON2 = """
import importlib.metadata as metadata
import detectron2, detectron2.engine, detectron2.projects.deeplab
try:
    wheel = metadata.distribution("detectron2").read_text("WHEEL") or ""
except metadata.PackageNotFoundError:
    wheel = ""
print(detectron2.__version__, detectron2.__path__[0], wheel, sep="\\n")
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done, 1 a step failed, 2 wrong usage or wrong Python."""
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks.install",
        description="Make the environment that segshift runs in, .venv in the checkout. Run again to resume or update.",
    )
    parser.add_argument("--with-tests", action="store_true", help="also install what the tests and linters need")
    parser.add_argument(
        "--current",
        action="store_true",
        help="install what is missing into the running interpreter's environment; its torch and detectron2 are kept",
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / "pip.log").unlink(missing_ok=True)
        if options.current:
            _install_current(with_tests=options.with_tests)
        else:
            _install_venv(with_tests=options.with_tests)
    except (InstallError, OSError) as error:
        print(f"benchmarks.install: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks.install: stopped; run the same command again to resume", file=sys.stderr)
        return 130
    _say(f"done in {time.monotonic() - began:.0f} s")
    return 0


def _install_venv(*, with_tests: bool) -> None:
    pyproject = project.CHECKOUT / "pyproject.toml"
    requirements = project.read_requirements(pyproject, with_tests=with_tests)
    stamp = VENV / STAMP
    wanted = {"inputs": project.inputs_hash(pyproject), "with_tests": with_tests}
    if is_complete(stamp, wanted, requirements):
        _say(f"{VENV.name} is complete, nothing to do")
        return
    stamp.unlink(missing_ok=True)
    pins = project.read_constraints()
    pip_pin = next(pin for pin in pins if project.name_of(pin) == "pip")
    _step(1, f"environment {VENV}")
    existed = VENV.exists()
    environment = ensure_venv(VENV, pip_pin, CACHE / "pip.log", _say)
    try:
        environment.pip(["install", pip_pin])
        _fill(environment, requirements, pins)
    except IncompleteError as error:
        if not existed:
            raise
        # pip trusts its own records, so that it does not see that a package's files are gone.
        _say(f"    {error}: making {VENV.name} anew")
        environment = ensure_venv(VENV, pip_pin, CACHE / "pip.log", _say, anew=True)
        environment.pip(["install", pip_pin])
        _fill(environment, requirements, pins)
    stamp.write_text(json.dumps(wanted) + "\n", encoding="utf-8")
    _say(f"use it with: {VENV.relative_to(project.CHECKOUT)}/bin/python")


def _install_current(*, with_tests: bool) -> None:
    requirements = project.read_requirements(project.CHECKOUT / "pyproject.toml", with_tests=with_tests)
    environment = Environment(Path(sys.executable), CACHE / "pip.log", _say)
    _step(1, f"environment of {sys.executable}")
    if environment.pip_version() == (0, 0):
        raise InstallError(f"{sys.executable} has no pip: install it into this environment")
    _fill(environment, requirements, pins_beside(project.read_constraints(), environment.installed()))


def pins_beside(pins: Sequence[str], installed: dict[str, str]) -> list[str]:
    """The pins for an environment that is not ours: none for what it already has, but its own torch is held."""
    kept = [pin for pin in pins if project.name_of(pin) not in installed]
    if "torch" in installed:
        kept.append(f"torch=={installed['torch']}")
    return kept


def _fill(environment: Environment, requirements: project.Requirements, pins: Sequence[str]) -> None:
    """Install everything into ``environment``; steps 2 to 5."""
    constraints = CACHE / "constraints.txt"
    constraints.write_text("\n".join(pins) + "\n", encoding="utf-8")
    install = ["install", "--constraint", str(constraints)]
    if environment.pip_version() >= (25, 3):  # older pips cannot hold the versions of build tools
        install += ["--build-constraint", str(constraints)]

    # pip unpacks on one core, and torch is as much as all others together. Torch alone, since two pips that write the
    # same package would be in each other's way.
    _step(2, f"torch, and beside it {len(requirements.beside_torch)} packages and what they need")
    with ThreadPoolExecutor(1) as other:
        torch = other.submit(environment.pip, [*install, "--no-deps", requirements.torch])
        environment.pip([*install, *requirements.beside_torch])
        torch.result()

    _step(3, "what torch needs, and packages that need torch")
    environment.pip([*install, requirements.torch, *requirements.usual])

    _step(4, "detectron2")
    if not keeps_detectron2(environment):
        wheel = detectron2_wheel.ensure_wheel(CACHE, environment.pip)
        _say(f"    pure-Python wheel of detectron2 {detectron2_wheel.VERSION}: {wheel.relative_to(CACHE)}")
        # By force, since a changed recipe keeps the version; the second call adds the wheel's requirements.
        environment.pip(["install", "--no-deps", "--force-reinstall", str(wheel)])
        environment.pip([*install, str(wheel)])

    _step(5, f"{', '.join(map(project.name_of, requirements.bare))} and a last check")
    environment.pip([*install, "--no-deps", *requirements.bare])
    problem = find_problem(environment, requirements)
    if problem:
        raise IncompleteError(f"the environment is incomplete: {problem} (pip's log: {CACHE / 'pip.log'})")


def keeps_detectron2(environment: Environment) -> bool:
    """Whether a detectron2 is there that imports and is not one of ours from an older recipe."""
    done = environment.evaluate(_IMPORT_DETECTRON2)
    if done.returncode != 0:
        if "detectron2" in environment.installed():
            _say(f"    the detectron2 that is there does not import ({last_line(done.stderr)}): replacing it")
        return False
    version, path, wheel_file = done.stdout.split("\n", 2)
    generator = next((line for line in wheel_file.splitlines() if line.startswith("Generator: ")), "")
    if generator.startswith("Generator: segshift-") and generator != f"Generator: {detectron2_wheel.generator()}":
        _say("    the wheel's recipe has changed: building it anew")
        return False
    _say(f"    kept: detectron2 {version} in {path} works")
    return True


def find_problem(environment: Environment, requirements: project.Requirements) -> str:
    """One line about what is missing or does not import in ``environment``; empty if it is complete."""
    installed = environment.installed()
    # A detectron2 that is run from its source folder has no entry among the installed packages; its import decides.
    missing = [name for name in requirements.names if name not in installed and name != "detectron2"]
    if missing:
        return f"not installed: {', '.join(missing)}"
    done = environment.evaluate(_IMPORT_DETECTRON2)
    return "" if done.returncode == 0 else f"detectron2 does not import: {last_line(done.stderr)}"


def is_complete(stamp: Path, wanted: dict[str, object], requirements: project.Requirements) -> bool:
    """Whether the environment beside ``stamp`` was made from the same inputs and still works."""
    try:
        made: dict[str, object] = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    covers_tests = bool(made.get("with_tests")) or not wanted["with_tests"]
    if made.get("inputs") != wanted["inputs"] or not covers_tests:
        return False
    environment = Environment(stamp.parent / "bin" / "python", CACHE / "pip.log", _say)
    try:
        return not find_problem(environment, requirements)
    except (InstallError, OSError):
        return False


def _step(number: int, what: str) -> None:
    _say(f"[{number}/{STEPS}] {what}")


def _say(line: str) -> None:
    print(line, flush=True)
