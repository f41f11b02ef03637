"""What a table has to say of the images that its runs were made of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from results.errors import ResultsError
from results.record import DATA, FINISHED, read_record
from results.text import one_line


def about_images(folders: Iterable[Path], unrecorded: bool = True) -> str:
    """Sentences, each after a space: that runs of a protocol are of different images, or do not say of which; or "".

    Args:
        folders: of the runs; those that are not finished are no figures, and do not count.
        unrecorded: whether it is told that a run does not say: earlier versions did not write it down.
    """
    found: dict[tuple[str, str, str], set[str]] = {}
    finished = silent = 0
    for folder in folders:
        try:
            record = read_record(folder)
        except ResultsError:
            continue
        if record is None or record["status"] != FINISHED:
            continue
        finished += 1
        data, spec = record.get(DATA), record.get("spec")
        if not isinstance(data, dict) or not isinstance(spec, dict):
            silent += 1
            continue
        for role, known in data.items():
            if isinstance(known, dict):
                for what in ("images", "labels"):
                    if what in known:
                        found.setdefault((str(spec.get("protocol")), role, what), set()).add(str(known[what]))
    mixed = [
        one_line(f"{what} of DATA.{role} ({protocol})")
        for (protocol, role, what), each in found.items()
        if len(each) > 1
    ]
    told = f" The runs were made with different {' and '.join(mixed)}: they cannot be compared." if mixed else ""
    if silent and unrecorded:
        told += f" {silent} of {finished} runs do not say which images they were made of: an earlier version made them."
    return told
