"""record.json: one a run. Tables are made of it; of a run folder they read config.yaml besides, for its keys alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from results.files.errors import ResultsError
from results.files.plain_file import read_plain_text, replacing
from results.files.text import clean
from results.records.scores import Elsewhere, Result, Scores, Validation, with_means_elsewhere
from results.records.typed_json import typed

SCHEMA = 1
FILE = "record.json"


class Status(str, Enum):
    """How a run stands, as its record says.

    A pending run was submitted to a queue and has not begun, or not yet gone on. A stopped run was ended on purpose
    before its last iterate, as a search prunes runs; it can be taken up again.
    """

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    DIVERGED = "diverged"
    STOPPED = "stopped"

    def __str__(self) -> str:
        return self.value


PENDING, RUNNING, FINISHED, FAILED, DIVERGED, STOPPED = Status

DATA = "data"  # key of the fingerprints of what a run was made of: {"SOURCE": {"count", "images", "labels"}, ...}

LOST = "lost: "  # begins the reason of a failed run whose process is gone

_DEEPEST = 50  # levels


class Records(dict[str, "Record"]):
    """Records by run folder, kept while a table of runs is made of them: none is read twice.

    ``whole``: with `Record.content` and `Record.data`, which tables do without and take long between processes.
    """

    def __init__(self, whole: bool = False) -> None:
        super().__init__()
        self.whole = whole


@dataclass(frozen=True)
class Spec:
    """What a run is of."""

    protocol: str = ""
    method: str = ""
    network: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Hardware:
    """What a run was made on."""

    name: str = ""


@dataclass(frozen=True)
class Shared:
    """Other runs on a run's GPU, or on the cores of one without: in how many iterations, and the most at a time.

    Attributes:
        iterations: with another run there, among the iterations that seconds are of.
        of: how many these are: those since the run was last started.
        others: runs.
    """

    iterations: int = 0
    of: int = 0
    others: int = 0

    @property
    def part(self) -> float:
        """The part of the iterations with another run, from 0 to 1."""
        return self.iterations / self.of if self.of else 0.0


@dataclass(frozen=True)
class Parameters:
    """How many parameters a network has."""

    inference: int | None = None


@dataclass(frozen=True)
class LabelledTarget:
    """Which of the target's training images were learned from with their labels, where that is said.

    Attributes:
        amount: a share, as "1/16", or a number; "" where nothing limits them.
        images: the number of them. of: that of all training images. None before they were looked for.
    """

    amount: str = ""
    images: int | None = None
    of: int | None = None

    def __str__(self) -> str:
        """Return what tables show: "1/16 (186 of 2975)"."""
        if self.images is None or self.of is None:
            return self.amount
        counted = f"{self.images} of {self.of}"
        return counted if self.amount == str(self.images) else f"{self.amount} ({counted})"


@dataclass(frozen=True)
class Point:
    """An evaluation on the way; scores in percent, the confidence in [0, 1], None where they were not measured."""

    iteration: int = 0
    miou: float | None = None
    source_miou: float | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class Record:
    """What record.json says of a run. What the file does not have is as the default, and named by `lacks`.

    Attributes:
        content: the object in the file, keys that this version does not know included: what is written again.
        status, reason: why it failed or diverged, or by what it was stopped.
        iterations, max_iterations: done and planned.
        oracle: whether the method learns from target labels in place of the source's.
        labelled_target: of how many target images, where not of all or none.
        classes: size of the class set of the headline.
        resumed_at, session_began: iteration and time (seconds since 1970) of the last start.
        shared: other runs on its GPU or cores; None where the record does not say.
        data: fingerprints of what it was made of, by SOURCE, TARGET and VAL.
        validation: what the validation labels lack; None where the record does not say.
        changed_settings: config keys that a user set to something else than protocol and recipe do; None where the
            record does not say.
        also: the scores on further sets of images, by name.
    """

    content: dict[str, Any] = field(repr=False)
    status: Status
    id: str = ""
    spec: Spec = Spec()
    reason: str = ""
    oracle: bool = False
    labelled_target: LabelledTarget = LabelledTarget()
    classes: int = 0
    iterations: int = 0
    max_iterations: int = 0
    resumed_at: int | None = None
    session_began: float | None = None
    seconds_per_iteration: float | None = None
    peak_memory_mib: float | None = None
    wall_seconds: float | None = None
    shared: Shared | None = None
    precision: str = ""
    hardware: Hardware = Hardware()
    parameters: Parameters = Parameters()
    curve: list[Point] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    validation: Validation | None = None
    changed_settings: dict[str, Any] | None = None
    result: Result = field(default_factory=Result)
    also: dict[str, Elsewhere] = field(default_factory=dict)

    def scores_of(self, model: str) -> Scores:
        """The scores of STUDENT or TEACHER, those on further sets included (`with_means_elsewhere`)."""
        return with_means_elsewhere(self.result.of(model), self.also, model)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Record:
        """The record of what a file has, without the schema; NaN and infinite numbers become None.

        Raises:
            ValueError: a field is of another kind than tables take; its line names the field.
        """
        return cls._of_finite(_finite(content))

    @classmethod
    def _of_finite(cls, content: dict[str, Any]) -> Record:
        try:
            status = Status(content.get("status"))
        except ValueError:
            expected = ", ".join(Status)
            raise ValueError(f"status is {_short(content.get('status'))}, expected one of {expected}") from None
        return typed(cls, {**content, "status": status, "content": content})

    def changed(self, **values: Any) -> Record:
        """The record with other values of these keys, as the file has them."""
        return self.of({**self.content, **values})

    @property
    def is_over(self) -> bool:
        """Whether the run is made by no command again: it is finished, or has diverged."""
        return self.status in (FINISHED, DIVERGED)

    @property
    def is_lost(self) -> bool:
        """Whether its process was gone, as somebody else found."""
        return self.status == FAILED and self.reason.startswith(LOST)

    @property
    def lacks(self) -> str:
        """The first key that each record has from the beginning, and this one has not: "spec.seed"; or ""."""
        for outer, names in _NEEDED.items():
            node = self.content.get(outer) if outer else self.content
            for name in names:
                if not isinstance(node, dict) or name not in node:
                    return ".".join(filter(None, (outer, name)))
        return ""


_NEEDED = {
    "": ("id", "oracle", "classes", "iterations", "max_iterations", "precision"),
    "spec": ("protocol", "method", "network", "seed"),
    "hardware": ("name",),
}


def write_text(path: Path, text: str, mode: int = 0o666) -> None:
    """Write a whole file or nothing: to a temporary name beside it, then renamed.

    A link of either name is replaced, not followed. ``mode``: of the file, less what the user's umask takes.
    """
    with replacing(path, mode) as file:
        file.write(text.encode())


def as_json(value: Any) -> str:
    """A value as JSON that every reader takes: null for a number that is none, or infinite. Ends with a line feed."""
    return json.dumps(_finite(value), indent=1, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_record(folder: Path, record: Record) -> None:
    """Write ``record`` as the run folder's record.json; the schema version is added."""
    write_text(folder / FILE, as_json({"schema": SCHEMA, **record.content}))


def record_or_none(folder: Path) -> Record | None:
    """Read as `read_record`, with None for a damaged record too: it counts as none where nobody is told of it."""
    try:
        return read_record(folder)
    except ResultsError:
        return None


def read_record(folder: Path) -> Record | None:
    """The record of a run folder, or None where there is none yet.

    Its texts have no characters that steer a terminal, and NaN, which older versions wrote, is None.

    Raises:
        ResultsError: the file is no plain file, no record, of a schema that this version does not know, or has a field
            of another kind than tables take.
    """
    path = folder / FILE
    try:
        text = read_plain_text(path)
        content = json.loads(text, parse_float=_float, parse_constant=lambda _: None)
        if text.count("{") + text.count("[") > _DEEPEST:
            _check_depth(content)
        if not text.isascii() or "\\" in text or "\x7f" in text:  # other control characters have an escape in JSON
            content = _cleaned(content)
    except FileNotFoundError:
        return None
    except RecursionError:
        raise ResultsError(f"{path}: expected a JSON record (it is too deep)") from None
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: expected a JSON record ({error})") from None
    found = content.pop("schema", None) if isinstance(content, dict) else type(content).__name__
    if found != SCHEMA:
        raise ResultsError(f"{path}: expected a record of schema {SCHEMA}, found {_short(found)}")
    try:
        return Record._of_finite(content)
    except ValueError as error:
        raise ResultsError(f"{path}: {error}") from None


def _float(text: str) -> float | None:
    """A number of JSON; None for one beyond all."""
    value = float(text)
    return value if value - value == 0 else None  # inf - inf is NaN; a call more would be felt


def _check_depth(content: Any) -> None:
    level = [content] if isinstance(content, (dict, list)) else []
    for _ in range(_DEEPEST):
        inner = [each.values() if isinstance(each, dict) else each for each in level]
        level = [each for values in inner for each in values if isinstance(each, (dict, list))]
        if not level:
            return
    raise ValueError(f"it is more than {_DEEPEST} levels deep")


def _cleaned(value: Any) -> Any:
    """The value with texts as `clean` has them."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _cleaned(each) for key, each in value.items()}
    return [_cleaned(each) for each in value] if isinstance(value, list) else value


def _short(value: Any) -> str:
    return f"{value!r:.60}"
