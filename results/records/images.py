"""What a table has to say of the images that its runs were made of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from results.files.text import one_line
from results.records.record import FINISHED, Record, record_or_none


class MadeOf:
    """The images of the runs of one table, of which records are added one by one."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], set[str]] = {}
        self._finished = self._silent = 0

    def add(self, record: Record) -> None:
        """Count runs; those that are not finished are no figures, and do not count."""
        if record.status != FINISHED:
            return
        self._finished += 1
        if record.content.get("data") is None:
            self._silent += 1
            return
        for role, known in record.data.items():
            if isinstance(known, dict):
                for what in ("images", "labels"):
                    if what in known:
                        key = (record.spec.protocol, role, what)
                        self._found.setdefault(key, set()).add(str(known[what]))

    def told(self, unrecorded: bool = True) -> str:
        """Sentences, each after a space: that runs of a protocol are of different images, or do not say which; or "".

        ``unrecorded``: whether it is told that a run does not say: earlier versions did not write it down.
        """
        mixed = [
            one_line(f"{what} of DATA.{role} ({protocol})")
            for (protocol, role, what), each in self._found.items()
            if len(each) > 1
        ]
        told = f" The runs were made with different {' and '.join(mixed)}: they cannot be compared." if mixed else ""
        if self._silent and unrecorded:
            told += (
                f" {self._silent} of {self._finished} runs do not say which images they were made of: an earlier "
                "version made them."
            )
        return told


def about_images(folders: Iterable[Path], unrecorded: bool = True) -> str:
    """What `MadeOf` tells of the runs in these folders; damaged records do not count."""
    made_of = MadeOf()
    for folder in folders:
        if (record := record_or_none(folder)) is not None:
            made_of.add(record)
    return made_of.told(unrecorded)
