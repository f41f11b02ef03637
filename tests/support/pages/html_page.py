"""What a page of HTML says: its tables as text, the elements that it has, and all that it would load."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """A page that was read.

    Attributes:
        tables: rows of cells of each table by its id, heads first; a second line of a cell is after a slash.
        elements: the attributes of all elements by tag.
        text: all text outside of style and script.
    """

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.elements: dict[str, list[dict[str, str | None]]] = {}
        self.text = ""
        self._table: list[list[str]] | None = None
        self._hidden = self._in_cell = False
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.setdefault(tag, []).append(dict(attrs))
        self._hidden = tag in ("style", "script")
        if tag == "table":
            self._table = self.tables.setdefault(str(dict(attrs)["id"]), [])
        elif self._table is not None and tag == "tr":
            self._table.append([])
        elif self._table is not None and tag in ("th", "td"):
            self._table[-1].append("")
            self._in_cell = True
        elif self._table is not None and tag == "br":
            self._table[-1][-1] += "/"

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False
        if tag in ("th", "td"):
            self._in_cell = False
        elif tag == "table":
            self._table = None

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        self.text += data
        if self._table is not None and self._in_cell:
            self._table[-1][-1] += data
