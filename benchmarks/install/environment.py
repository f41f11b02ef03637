"""The Python environment that set-up fills: made if need be, asked what it holds, and driven through its pip."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .errors import InstallError

ATTEMPTS = 3
RETRY_PAUSE = 5.0  # seconds

# Failures that another attempt cannot mend.
_FINAL = re.compile(r"ResolutionImpossible|externally-managed-environment|No space left|DO NOT MATCH THE HASHES")

# What takes long enough to be told.
_LARGE_DOWNLOAD = re.compile(r"\s*Downloading .* \([\d.]+ (MB|GB)\)")


class Environment:
    """A Python environment, named by its interpreter.

    Args:
        python: path of the interpreter.
        log: file that collects all that pip prints.
        say: prints one line for the user.
        own: whether set-up made it. Then modules are compiled when they are first imported, which writes what it
            compiles: most of what pip would compile nobody imports.
    """

    def __init__(self, python: Path, log: Path, say: Callable[[str], None], *, own: bool = False) -> None:
        self.python = python
        self._log = log
        self._say = say
        self._own = own

    def evaluate(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run ``code`` in the environment, away from the checkout so that only installed packages are found."""
        return subprocess.run(
            [str(self.python), "-c", code], cwd=self._log.parent, capture_output=True, text=True, check=False
        )

    def installed(self) -> dict[str, str]:
        """Normalized name -> version of every installed package.

        Raises:
            InstallError: the interpreter does not run.
        """
        code = (
            "import importlib.metadata as m, json, re; "
            "print(json.dumps({re.sub('[-_.]+', '-', d.metadata['Name']).lower(): d.version "
            "for d in m.distributions() if d.metadata['Name']}))"
        )
        done = self.evaluate(code)
        if done.returncode != 0:
            raise InstallError(f"{self.python}: cannot list its packages: {last_line(done.stderr)}")
        packages: dict[str, str] = json.loads(done.stdout)
        return packages

    def pip(self, arguments: Sequence[str], extra: dict[str, str] | None = None) -> None:
        """Run pip, telling the user about downloads and trying again when a download breaks.

        Args:
            arguments: pip's arguments, from the command on.
            extra: additions to the environment variables.

        Raises:
            InstallError: pip failed; the message holds pip's own reason and the log's path.
        """
        command = [str(self.python), "-m", "pip", *arguments, "--retries", "8", "--no-input"]
        command.append("--disable-pip-version-check")
        if self._own and arguments[0] == "install" and not sys.dont_write_bytecode:
            command.append("--no-compile")
        for attempt in range(1, ATTEMPTS + 1):
            code, output = self._run_logged(command, {**os.environ, **(extra or {})})
            if code == 0:
                return
            if attempt == ATTEMPTS or _FINAL.search(output):
                raise InstallError(f"pip {arguments[0]} failed: {_reason(output)} (pip's log: {self._log})")
            self._say(f"    pip stopped: {_reason(output)}; attempt {attempt + 1} of {ATTEMPTS}")
            time.sleep(RETRY_PAUSE)

    def pip_version(self) -> tuple[int, int]:
        """Version of pip as (major, minor); (0, 0) if there is no pip."""
        done = self.evaluate("import pip; print(pip.__version__)")
        match = re.match(r"(\d+)\.(\d+)", done.stdout)
        return (int(match[1]), int(match[2])) if done.returncode == 0 and match else (0, 0)

    def _run_logged(self, command: list[str], environ: dict[str, str]) -> tuple[int, str]:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        lines: list[str] = []
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"\n$ {' '.join(command)}\n")
            with subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    log.write(line)
                    log.flush()
                    lines.append(line)
                    if _LARGE_DOWNLOAD.match(line):
                        self._say(f"    {line.strip()}")
        return process.returncode, "".join(lines)


def ensure_venv(
    folder: Path, pip_requirement: str, log: Path, say: Callable[[str], None], *, anew: bool = False
) -> Environment:
    """Return the virtual environment in ``folder``, with pip in it, made if there is no working one.

    Args:
        folder: where the environment is or goes.
        pip_requirement: the pip to put into it where the venv module cannot.
        log: see ``Environment``.
        say: see ``Environment``.
        anew: make it anew even if it works.

    Raises:
        InstallError: ``folder`` is something else, or neither the venv module nor pip can furnish it.
    """
    environment = Environment(folder / "bin" / "python", log, say, own=True)
    if folder.exists() and not (folder / "pyvenv.cfg").is_file():
        raise InstallError(f"{folder}: exists and is no virtual environment, move it out of the way")
    if not anew and _works(environment):
        return environment
    if folder.exists() and not anew:
        say(f"    {folder.name} is broken, making it anew")
    log.parent.mkdir(parents=True, exist_ok=True)
    done = _venv(folder)
    if not _works(environment):
        # Debian without its python3-venv package: the venv module cannot bring pip, but the system's pip can.
        bare = _venv(folder, "--without-pip")
        if bare.returncode != 0:
            raise InstallError(f"cannot make {folder}: {last_line(bare.stderr or done.stderr)}")
        system_pip = importlib.util.find_spec("pip")
        if system_pip is None or not system_pip.submodule_search_locations:
            raise InstallError(
                f"{sys.executable} has neither ensurepip nor pip: install your system's package for one of them "
                "(Debian, Ubuntu: apt install python3-venv)"
            )
        # Running the system's pip as a folder makes it work for any interpreter, whatever its version.
        command = [str(environment.python), system_pip.submodule_search_locations[0], "install", "--ignore-installed"]
        bootstrap = subprocess.run([*command, pip_requirement], capture_output=True, text=True, check=False)
        if not _works(environment):
            raise InstallError(f"cannot put pip into {folder}: {last_line(bootstrap.stderr)}")
    return environment


def last_line(text: str) -> str:
    """The last line of ``text`` that holds something, since that is where Python and pip say what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def _venv(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "venv", "--clear", *options, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _works(environment: Environment) -> bool:
    if not environment.python.exists():
        return False
    command = [str(environment.python), "-m", "pip", "--version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _reason(output: str) -> str:
    errors = [line for line in output.splitlines() if line.startswith("ERROR:")]
    # pip's closing advice on conflicts says less than the line before it.
    telling = [line for line in errors if "ResolutionImpossible" not in line]
    return (telling or errors or [last_line(output)])[-1].removeprefix("ERROR:").strip()
