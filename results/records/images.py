"""What a table has to say of the images that its runs were made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from results.files.mapped import mapped
from results.files.text import one_line
from results.records.record import FINISHED, Record, record_or_none


@dataclass(frozen=True)
class Images:
    """Which images a finished run was made of.

    Attributes:
        digests: by protocol, role (as VAL) and "images" or "labels"; None: its record does not say.
    """

    digests: dict[tuple[str, str, str], str] | None

    @classmethod
    def of(cls, record: Record) -> Images | None:
        """What a record says; None of a run that is not finished: it is no figure."""
        if record.status != FINISHED:
            return None
        if record.content.get("data") is None:
            return cls(None)
        roles = {role: known for role, known in record.data.items() if isinstance(known, dict)}
        protocol = record.spec.protocol
        kinds = [(role, what) for role, known in roles.items() for what in ("images", "labels") if what in known]
        return cls({(protocol, role, what): str(roles[role][what]) for role, what in kinds})


class MadeOf:
    """The images of the runs of one table, which are added one by one."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], set[str]] = {}
        self._finished = self._silent = 0

    def add(self, images: Images | None) -> None:
        """Count a run; None: one that does not count."""
        if images is None:
            return
        self._finished += 1
        if images.digests is None:
            self._silent += 1
            return
        for key, digest in images.digests.items():
            self._found.setdefault(key, set()).add(digest)

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
    for images in mapped(_images, list(folders)):
        made_of.add(images)
    return made_of.told(unrecorded)


def _images(folder: Path) -> Images | None:
    record = record_or_none(folder)
    return None if record is None else Images.of(record)
