"""index.csv of an output folder: a line a run, for who looks for one with a spreadsheet or ``grep``.

Records are what holds. A line follows each change of a record, under a lock where the file system has some; and whoever
looks at the runs makes the lines again whose record is another by now, so that no lost or forgotten change stays.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from results.files.errors import ResultsError
from results.files.mapped import mapped
from results.files.plain_file import read_plain_text
from results.forms.cells import csv_cell
from results.records.folders import run_folders
from results.records.record import FILE, Record, read_record, write_text

INDEX = "index.csv"
COLUMNS = {
    "folder": "the run folder, relative to that of the index",
    "run": "the run's id",
    "protocol": "name of the benchmark protocol",
    "method": "canonical recipe, e.g. dacs+mrm",
    "network": "name of the network",
    "seed": "run seed",
    "status": "pending, running, finished, failed, diverged, stopped, or damaged: its record cannot be read",
    "miou": "of the student at the last iterate, in percent; while it runs at the last evaluation",
    "iterations": "iterations done",
    "finished": "when a run that is over wrote its record, UTC",
    "record": "time (nanoseconds since 1970), bytes and inode of the record.json that the line was made of",
}
_LOCK = ".index.lock"
_PATIENCE, _PAUSE = 10.0, 0.02  # seconds that a lock is waited for, and between two tries
_MOST = 512 * 2**20  # bytes of an index

Lines = dict[str, list[str]]
"""The cells of each line, by folder."""


def refresh_index(output: Path) -> bool:
    """Make the index of an output folder what the records say; returns whether it is.

    A record is read only where its time or size is not that of its line: of runs that are known, as many files are
    looked up as there are runs, and none is opened.
    """
    try:
        with _locked(output):  # before the folders are looked for: what comes meanwhile is noted afterwards
            known, lines, changed = _read(output), Lines(), list[tuple[Path, str, str]]()
            for folder in run_folders(output).folders:
                name, stamp = csv_cell(folder.relative_to(output).as_posix()), _stamp(folder)
                line = known.get(name)
                if line is not None and line[-1] == stamp:
                    lines[name] = line
                elif stamp is not None:
                    changed.append((folder, name, stamp))
            lines |= zip([name for _, name, _ in changed], mapped(_line_of, changed), strict=True)
            _write(output, known, lines)
    except (OSError, ResultsError):
        return False
    return True


def note_in_index(folder: Path) -> bool:
    """Let the index follow a change of a run's record; returns whether it did.

    A folder that does not lie as runs do (``<output>/<protocol>/<method>/<network>/<id>``) is in no index. That the
    index cannot be written stops nobody: it is made again when somebody looks.
    """
    try:
        stamp, name = _stamp(folder), csv_cell(Path(*folder.parts[-4:]).as_posix())
        if stamp is None or len(folder.parts) < 4:
            return False
        line = _line(folder, name, stamp)
        if list(folder.parts[-4:-1]) != line[2:5]:
            return False
        output = folder.parents[3]
        with _locked(output):
            known = _read(output)
            _write(output, known, known | {name: line})
    except (OSError, ResultsError):
        return False
    return True


def _stamp(folder: Path) -> str | None:
    """What tells a record from another; None where there is none."""
    try:
        status = (folder / FILE).stat()
    except FileNotFoundError:
        return None
    return f"{status.st_mtime_ns} {status.st_size} {status.st_ino}"


def _line_of(run: tuple[Path, str, str]) -> list[str]:
    return _line(*run)


def _line(folder: Path, name: str, stamp: str) -> list[str]:
    """The cells of a run. The stamp was taken before the record is read: a newer one is then read again."""
    try:
        record = read_record(folder) or Record.of({"status": "pending"})
        status = str(record.status)
    except ResultsError:
        record, status = Record.of({"status": "failed", "id": folder.name}), "damaged"
    spec, miou = record.spec, record.result.student.headline
    if miou is None and record.curve:
        miou = record.curve[-1].miou
    ended = datetime.fromtimestamp(int(stamp.split()[0]) // 10**9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    cells = [name, record.id, spec.protocol, spec.method, spec.network, str(spec.seed), status]
    numbers = ["" if miou is None else str(miou), str(record.iterations), ended if record.is_over else "", stamp]
    return [csv_cell(cell) for cell in [*cells, *numbers]]


def _read(output: Path) -> Lines:
    """The lines as they are; none of an index that is not there, or is none."""
    try:
        rows = list(csv.reader(io.StringIO(read_plain_text(output / INDEX, _MOST))))
    except (OSError, ValueError, csv.Error):
        return {}
    if not rows or rows[0] != [*COLUMNS]:
        return {}
    return {row[0]: row for row in rows[1:] if len(row) == len(COLUMNS)}


def _write(output: Path, known: Lines, lines: Lines) -> None:
    """Write whole, sorted by folder, where something is another."""
    if lines == known and (output / INDEX).is_file():
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(lines[name] for name in sorted(lines))
    write_text(output / INDEX, text.getvalue())


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    """The index is this process' alone, on file systems that have locks. Raises OSError where another keeps it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(output / _LOCK, flags, 0o666)
    try:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
                time.sleep(_PAUSE)
            except OSError:
                break  # there are no locks here
        yield
    finally:
        os.close(file)
