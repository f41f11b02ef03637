"""Tables in pages, made from the records in docs/records; ``python -m benchmarks.tools.page_tables`` renews them.

A page marks one by ``<!-- table: results/compare.py docs/records/NAME ... -->`` before it, and ``<!-- table ends -->``
after it; between them stands what the command prints, and nothing else. The table of a grid is marked by
``<!-- table: ablations/run.py GRID ... --records docs/records/NAME -->``, that of a search by ``ablations/search.py``
with the same, those of the paper by ``ablations/paper.py``: what stands there is the Markdown they write.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.core.checkout import ROOT

RECORDS = "docs/records"
ABLATIONS = {"ablations/run.py": "*.md", "ablations/search.py": "*.md", "ablations/paper.py": "paper.md"}
"""Commands that write the Markdown of a page, and its name."""
_MARKED = re.compile(r"^<!-- table: ([^\n]+) -->\n(.*?)^<!-- table ends -->$", re.MULTILINE | re.DOTALL)


class MarkedTable(NamedTuple):
    """A table of a page: the words of its command, and the text that stands there."""

    command: tuple[str, ...]
    text: str


def marked_tables(page: str) -> list[MarkedTable]:
    """The marked tables of a page's text, in their order."""
    return [MarkedTable(tuple(shlex.split(command)), text.strip("\n")) for command, text in _MARKED.findall(page)]


def made(command: tuple[str, ...]) -> str:
    """What a table's command prints, from the checkout's root; of an ablation, the Markdown that it writes.

    Raises:
        ValueError: it is no command of results/ and no ablation of records, reads nothing below docs/records, or
            ends with an error.
    """
    told, ablation = shlex.join(command), command[0] in ABLATIONS and "--records" in command
    reads = any(word.startswith(f"{RECORDS}/") for word in command)
    if not (ablation or command[0].startswith("results/")) or not reads:
        kinds = ", ".join(ABLATIONS)
        told += f": expected a command of results/, or of {kinds} --records, of a folder below {RECORDS}"
        raise ValueError(told)
    with TemporaryDirectory() as folder:
        words = [*command, "--output", folder] if ablation else command
        done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            raise ValueError(f"{told}: exit code {done.returncode}, {done.stderr.strip()}")
        written = next(Path(folder).rglob(ABLATIONS[command[0]])) if ablation else None
        text = written.read_text(encoding="utf-8") if written else done.stdout
    return text.strip("\n")


def renewed(page: str) -> str:
    """The text of a page with each marked table made again."""
    return _MARKED.sub(lambda match: _block(match[1], made(tuple(shlex.split(match[1])))), page)


def pages_with_tables() -> list[Path]:
    """The pages of the checkout that have marked tables."""
    pages = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
    return [page for page in pages if _MARKED.search(page.read_text(encoding="utf-8"))]


def _block(command: str, text: str) -> str:
    return f"<!-- table: {command} -->\n\n{text}\n\n<!-- table ends -->"


if __name__ == "__main__":
    for page in pages_with_tables():
        before = page.read_text(encoding="utf-8")
        if (after := renewed(before)) != before:
            page.write_text(after, encoding="utf-8")
            print(f"{page.relative_to(ROOT)}: renewed")
