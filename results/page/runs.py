"""The runs of a report one by one: how they were set and made, and those that are not finished."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from results.files.bounded_yaml import as_word
from results.page.compared import Compared
from results.page.table import NOTHING, Table, shortened
from results.records.record import FINISHED, Record
from results.tables.rows import Row, is_known
from results.tables.summary_text import SHARED

MOST_RUNS = 1000  # listed one by one
_LONGEST_COMMAND = 5000  # characters


@dataclass(frozen=True)
class Command:
    """The command that makes a run; ``whole``: whether its record says all that was set."""

    run: str
    text: str
    whole: bool


def settings_of(compared: Compared) -> tuple[Table, Table] | None:
    """Config keys down, rows across: those in which rows differ, and those that all set alike; None without a config.

    A row whose run folders have no config has none of them.
    """
    rows = compared.rows
    known = [row for row in rows if row.config]
    if not known:
        return None
    keys = sorted(set().union(*(row.config for row in known)))
    alike = [key for key in keys if len({_value(row, key) for row in known}) == 1]
    differing = [(key, *(_value(row, key) for row in rows)) for key in keys if key not in set(alike)]
    return (
        Table.of_rows("Settings in which rows differ", ["key", *(row.label for row in rows)], differing),
        Table.of_rows("Settings of all rows", ["key", "value"], [(key, _value(known[0], key)) for key in alike]),
    )


def _value(row: Row, key: str) -> str:
    if key not in row.config:
        return NOTHING
    value = row.config[key]
    return "x".join(map(str, value)) if isinstance(value, list) and value else str(value)


def run_table(compared: Compared) -> Table:
    """A line a run, whatever its status: at most MOST_RUNS."""
    lines = []
    for row in compared.rows:
        for values in zip(*row.runs.values(), strict=True):
            run = dict(zip(row.runs, values, strict=True))
            done, planned = run["iterations"], run["max_iterations"]
            miou = _number(run["miou"], 1) if run["status"] == FINISHED else NOTHING
            mark = SHARED if is_known(run["shared"]) and run["shared"] > 0 else ""
            cost = _number(run["seconds_per_iteration"], 3, mark), _number(run["peak_memory_mib"], 0, mark)
            iterations = f"{done}" if done == planned else f"{done} of {planned}"
            lines.append((row.label, run["seed"], run["status"], miou, iterations, *cost, run["run"], run["folder"]))
    heads = ["row", "seed", "status", "mIoU", "iterations", "s/iteration", "peak MiB", "id", "folder"]
    return Table.of_rows("Runs", heads, lines[:MOST_RUNS])


def _number(value: float, digits: int, mark: str = "") -> str:
    return f"{value:.{digits}f}{mark}" if is_known(value) else NOTHING


def made_with(compared: Compared) -> Table:
    """The environments that runs were made in: hardware, versions, commit; and which runs those are."""
    found: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for row in compared.rows:
        for seed, folder in zip(row.runs["seed"], row.runs["folder"], strict=True):
            of_rows = found.setdefault(_environment(compared.records[folder]), {})
            of_rows.setdefault(row.label, []).append(str(seed))
    lines = [
        (*environment, "; ".join(f"{label}: seed {', '.join(seeds)}" for label, seeds in rows.items()))
        for environment, rows in list(found.items())[:MOST_RUNS]
    ]
    return Table.of_rows("What runs were made with", ["hardware", "precision", "versions", "commit", "runs"], lines)


def _environment(record: Record) -> tuple[str, ...]:
    content = record.content
    versions, git, hardware = (content.get(key) for key in ("versions", "git", "hardware"))
    threads = hardware.get("threads") if isinstance(hardware, dict) else None
    named = ", ".join(f"{name} {version}" for name, version in versions.items()) if isinstance(versions, dict) else ""
    commit = str(git.get("commit") or "")[:12] if isinstance(git, dict) else ""
    if commit and isinstance(git, dict) and git.get("dirty"):
        commit += " and changes"
    name = record.hardware.name + (f", threads: {threads}" if threads else "")
    return tuple(map(shortened, (name, record.precision, named, commit)))


def commands(compared: Compared) -> list[Command]:
    """The command that makes each run, at most MOST_RUNS: of the names in its record, and of what was set besides.

    Of a record of before, which does not say that, with the keys that tell its row from others.
    """
    found = []
    for row in compared.rows:
        for folder in row.runs["folder"]:
            record = compared.records[folder]
            whole, spec = record.changed_settings is not None, record.spec
            words = ["python", "benchmarks/run.py", "--protocol", spec.protocol, "--methods", spec.method]
            words += ["--network", spec.network, "--seeds", str(spec.seed)]
            known = {key: row.config[key] for key in row.setting if key in row.config}
            for key, value in (known if record.changed_settings is None else record.changed_settings).items():
                words += [key, as_word(value)]
            text = shortened(shlex.join(words), _LONGEST_COMMAND)
            found.append(Command(f"{row.label}, seed {spec.seed}", text, whole))
    return found[:MOST_RUNS]


def unfinished(compared: Compared) -> Table | None:
    """The runs that are in no figure, with the reason; None where there are none."""
    lines = []
    for row in compared.rows:
        for status, folder in zip(row.runs["status"], row.runs["folder"], strict=True):
            if status == FINISHED:
                continue
            record = compared.records[folder]
            done = f"{record.iterations} of {record.max_iterations}"
            lines.append((row.label, record.spec.seed, _status(record), record.reason, done, folder))
    heads = ["row", "seed", "status", "reason", "iterations", "folder"]
    return Table.of_rows("Runs that are not finished", heads, lines[:MOST_RUNS]) if lines else None


def _status(record: Record) -> str:
    return "lost" if record.is_lost else str(record.status)
