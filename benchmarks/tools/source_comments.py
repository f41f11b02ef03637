"""What the comments beside assignments of a module say, by the name that is assigned to."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable


class Comments:
    """The comments of a source text, by line.

    Of an assignment count those on its own lines, and the block of whole lines just above it.
    """

    def __init__(self, source: str) -> None:
        self._beside: dict[int, str] = {}
        self._above: dict[int, str] = {}
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                alone = not token.line[: token.start[1]].strip()
                (self._above if alone else self._beside)[token.start[0]] = token.string.lstrip("# ")

    def of(self, node: ast.stmt) -> str:
        """The comments of a statement, joined to one line; "" where it has none."""
        first = node.lineno
        while first - 1 in self._above:
            first -= 1
        above = [self._above[line] for line in range(first, node.lineno)]
        beside = [self._beside[line] for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
                  if line in self._beside]  # fmt: skip
        return " ".join([*above, *beside])


def by_attribute(source: str, function: str) -> dict[str, str]:
    """Comments of a function by attribute: of ``cfg.DATA.ROOT = ""  # meaning`` ``{"DATA.ROOT": "meaning"}``."""
    comments, found = Comments(source), {}
    for node in _body(source, function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            _, _, name = ast.unparse(node.targets[0]).partition(".")
            found[name] = comments.of(node)
    return found


def by_field(source: str, cls: str) -> dict[str, str]:
    """Comments of a class by field: of ``ratio: float = 0.4  # meaning`` ``{"ratio": "meaning"}``."""
    comments = Comments(source)
    return {
        node.target.id: comments.of(node)
        for node in _body(source, cls)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _body(source: str, name: str) -> Iterable[ast.stmt]:
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return node.body
    raise ValueError(f"no function or class {name!r}")
