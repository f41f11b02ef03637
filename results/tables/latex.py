"""Tables for LaTeX documents with booktabs: they compile as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
    "λ": r"$\lambda$",
}


def escaped(text: str) -> str:
    """A text that LaTeX shows as it is; characters beyond Latin-1 that no font of pdfLaTeX has are question marks."""
    shown = "".join(_SPECIAL.get(character, character) for character in one_line(text))
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


def table(columns: Mapping[str, Sequence[str]], left: int) -> str:
    """A tabular of cells that are LaTeX already; the first ``left`` columns are on the left, others on the right."""
    heads, rows = list(columns), list(zip(*columns.values(), strict=True))
    lines = [
        rf"\begin{{tabular}}{{{'l' * left}{'r' * (len(heads) - left)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "% \\usepackage{booktabs}\n" + "\n".join(lines) + "\n"
