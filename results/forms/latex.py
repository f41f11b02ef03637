"""Tables for LaTeX documents with booktabs: they compile as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from results.files.text import one_line

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "†": r"\textdagger{}",
    "λ": r"$\lambda$",
    "×": r"$\times$",
    "→": r"$\rightarrow$",
}

# Before a figure, where no word, range or power of ten ends: in text LaTeX sets a hyphen, half as wide as a plus.
_MINUS = re.compile(r"(?<![\w.)-])-(?=\.?\d)", re.ASCII)

_BEGIN = r"""\documentclass{article}
\usepackage[T1,OT1]{fontenc}
\DeclareTextSymbolDefault{\textquotedbl}{T1}
\usepackage[utf8]{inputenc}
\usepackage[margin=2cm]{geometry}
\usepackage{booktabs,graphicx}
"""  # OT1, whose fonts are outlines wherever LaTeX is; of T1 that one sign


def escaped(text: str) -> str:
    """A text that LaTeX shows as it is, negative figures with a minus.

    Characters beyond Latin-1 that no font of pdfLaTeX has are question marks.
    """
    shown = "".join(_SPECIAL.get(character, character) for character in one_line(text))
    shown = _MINUS.sub("$-$", shown)
    return "".join(character if ord(character) < 256 else "?" for character in shown)


def small(content: str) -> str:
    """LaTeX set small, after a thin space."""
    return rf"\,{{\scriptsize {content}}}"


def marked(values: Sequence[float | None]) -> list[Callable[[str], str]]:
    """What is done to each cell: the highest value as printed is bold, the second underlined; equal ones alike.

    Of one value none is marked.
    """
    printed = [None if value is None else round(value, 1) for value in values]
    order = sorted({value for value in printed if value is not None}, reverse=True)

    def mark(value: float | None) -> Callable[[str], str]:
        if value is None or len(order) < 2 or value not in order[:2]:
            return lambda text: text
        command = r"\textbf" if value == order[0] else r"\underline"
        return lambda text: f"{command}{{{text}}}"

    return [mark(value) for value in printed]


def typeset(columns: Mapping[str, Sequence[str]], ranked: Mapping[str, Sequence[float | None]] = {}) -> str:
    """A tabular of columns of text, for booktabs; texts to the left, figures to the right, deviations small.

    Args:
        columns: cells by head.
        ranked: values of columns by head, of which the best is bold and the second underlined.
    """
    cells = {head: [_cell(text) for text in texts] for head, texts in columns.items()}
    for head, values in ranked.items():
        cells[head] = [mark(text) for mark, text in zip(marked(values), cells[head], strict=True)]
    has_figures = [any(character.isdigit() for text in texts for character in text[:3]) for texts in columns.values()]
    sides = "l" + "".join("r" if each else "l" for each in has_figures[1:])
    lines = [
        rf"\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        " & ".join(map(escaped, cells)) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in zip(*cells.values(), strict=True)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "% \\usepackage{booktabs}\n" + "\n".join(lines) + "\n"


def document(title: str, parts: Iterable[tuple[str, str, str, str]]) -> str:
    """A document that shows tables and pictures in their order, each part on pages of its own; it compiles as it is.

    Args:
        title: of all.
        parts: of each its heading, its caption, and the names of the files of its table and its picture, "" for none.
    """
    head = rf"\title{{{escaped(title)}}}\author{{}}\date{{}}"
    body = [r"\begin{document}\maketitle", *(_part(*part) for part in parts), r"\end{document}"]
    return "\n".join([_BEGIN + head, *body, ""])


def _part(heading: str, caption: str, table: str, picture: str) -> str:
    lines = [rf"\section{{{escaped(heading)}}}"]
    if table:
        wide = rf"\resizebox{{\ifdim\width>\linewidth\linewidth\else\width\fi}}{{!}}{{\input{{{table}}}}}"
        lines += [r"\begin{center}", wide, r"\end{center}"]
    if picture:
        lines += [r"\begin{center}", rf"\includegraphics{{{picture}}}", r"\end{center}"]
    return "\n".join([*lines, rf"{{\small\sloppy {escaped(caption)}\par}}", r"\clearpage", ""])


def _cell(text: str) -> str:
    value, sign, deviation = text.partition(" ± ")
    return escaped(value) + (small(rf"$\pm$ {escaped(deviation)}") if sign else "")
