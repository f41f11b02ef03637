"""Methods side by side: ``python results/compare.py runs --baseline dacs``."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from os.path import expanduser
from pathlib import Path
from typing import TYPE_CHECKING

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from results.files.errors import ResultsError
from results.files.text import one_line
from results.files.told import exit_code
from results.records.record import Records, write_text
from results.records.scores import STUDENT, TEACHER, lower_is_better
from results.tables.scores_by_seed import LAST, RULES

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("table", "markdown", "latex", "html", "csv", "parquet")
BY = ("method", "network", "protocol", "precision", "hardware")


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="results/compare.py",
        description="Methods over their seeds: means, and paired differences to a baseline with intervals. Run folders "
        "are read, and nothing else.",
    )
    parser.add_argument("runs", type=expanduser, nargs="*", default=["runs"], help="folders of runs (default: runs)")
    parser.add_argument("--by", default="method", help=f"what rows are named by, of {', '.join(BY)} (default: method)")
    parser.add_argument(
        "--columns",
        help="class sets (19), classes (road), metrics (fwIoU) and cost, in place of all class sets and metrics of the "
        "runs; differences are of the first, those of the others in brackets",
    )
    parser.add_argument(
        "--keys", action="append", default=[], metavar="KEY", help="a column of this config key, as TERMS.MRM.RATIO"
    )
    parser.add_argument(
        "--published",
        action="store_true",
        help="published mIoU, or IoU of classes, beside rows whose names it is of",
    )
    parser.add_argument("--classes", action="store_true", help="a row a class: IoU, and its difference to the baseline")
    parser.add_argument(
        "--where", action="append", default=[], metavar="KEY=VALUE", help="runs of this method, network or config key"
    )
    parser.add_argument("--baseline", help="the method that others are compared with, seed by seed")
    parser.add_argument("--rule", choices=list(RULES), default=LAST, help="which iterate (default: last)")
    parser.add_argument("--model", choices=(STUDENT, TEACHER), default=STUDENT, help="default: student")
    parser.add_argument("--format", choices=FORMATS, default="table")
    parser.add_argument("--out", type=expanduser, help="write to this file (Parquet wants one)")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """The command; returns the exit code: 1 where a damaged file is left out, 2 (and one line) for a user's slip."""
    arguments = parse_arguments(words)

    def make(tell: Callable[[str], None]) -> None:
        text = compared(arguments, tell)
        if arguments.out and text is not None:
            write_text(Path(arguments.out), text)
        elif text is not None:
            print(text.rstrip("\n"))

    return exit_code(make, arguments.out)


def compared(arguments: argparse.Namespace, say: Callable[[str], None]) -> str | None:
    """The table with its notes as text; None where it was written as Parquet.

    Raises:
        ResultsError: no runs, an unknown name, or runs that cannot be in one table; OSError: ``--out``.
    """
    from results.records.images import MadeOf
    from results.tables.baselines import baselines_by_method
    from results.tables.beside_published import beside_published, classes_beside_published
    from results.tables.by_class import by_class, class_columns, class_frame
    from results.tables.notes import class_sources, notes_on, on_shared, sources
    from results.tables.rows import lower_metrics, rows_of
    from results.tables.selection import named, named_scores, over_common_classes, read_runs, selected, with_keys
    from results.tables.summary import all_scores, summarize
    from results.tables.summary_frame import frame_of
    from results.tables.summary_text import Shown, columns_of, means, title

    by, baseline, model, rule = named("--by", arguments.by, BY), arguments.baseline, arguments.model, arguments.rule
    # Of what the table of all runs does not have: classes, the best iterate, and what was set.
    beyond = arguments.columns or arguments.classes or arguments.published or rule != LAST
    made_of, records = MadeOf(), Records() if beyond else None
    runs = selected(read_runs(arguments.runs, say, made_of, records), arguments.where, say)
    rows = rows_of(over_common_classes(runs), by, say, records)
    rows.sort(key=lambda row: {*row.runs["method"]} != {baseline})  # the baseline comes first
    baselines = baselines_by_method(rows, baseline) if baseline else ()
    rows = with_keys(rows, arguments.keys)
    notes = notes_on(runs, made_of, model, rule, baseline)
    if arguments.classes:
        found = by_class(rows, baselines, model, rule)
        beside = classes_beside_published(rows) if arguments.published else None
        if beside and (lines := class_sources([row.label for row in rows], beside)):
            notes += f"\nBeside a published IoU, in brackets: what the measured mean differs from it by.\n{lines}"
        return _formatted(arguments, class_columns(found, beside or ()), lambda: class_frame(found, beside), notes)
    scores, has_cost = named_scores(arguments.columns, rows, model) if arguments.columns else (all_scores(rows), False)
    if rule != LAST and not arguments.columns:
        scores = scores[:1]  # records keep no other on the way
    summaries = summarize(rows, scores, baselines, model, rule, say, every=bool(arguments.columns))
    for summary in summaries:
        if summary.why_none:
            print(one_line(f"{summary.row.label}: no difference to {baseline}, {summary.why_none}"), file=sys.stderr)
        if summary.versus and (keys := ", ".join(summary.versus.besides)):
            print(one_line(f"{summary.row.label}: {baseline} has other {keys}, not the method alone"), file=sys.stderr)
    published = beside_published(rows, baselines) if arguments.published else ()
    notes += f"\n{line}" if (line := sources(published)) else ""
    notes += f"\n{line}." if has_cost and (line := on_shared(summaries)) else ""
    lower = lower_metrics(rows)
    ranked = {
        title(summaries, score): _ranked(means(summaries, at), lower_is_better(score.metric, lower))
        for at, score in enumerate(scores)
    }
    columns = columns_of(summaries, scores, Shown(baseline or "", has_cost, published))
    return _formatted(
        arguments,
        columns,
        lambda: frame_of(summaries, scores, published),
        notes,
        ranked,
    )


def _ranked(values: Sequence[float | None], lower: bool) -> list[float | None]:
    """Values of which the highest is the best."""
    return [-value if value is not None and lower else value for value in values]


def _formatted(
    arguments: argparse.Namespace,
    columns: Mapping[str, Sequence[str]],
    frame: Callable[[], pd.DataFrame],
    notes: str,
    ranked: Mapping[str, Sequence[float | None]] | None = None,
) -> str | None:
    """The table in the form that was asked for; ``ranked``: columns whose best is marked in LaTeX."""
    from results.forms.cells import FORMS, as_csv, tabulated
    from results.forms.folding import for_screen

    form = arguments.format
    if form == "parquet":
        _write_parquet(frame(), arguments.out)
        return None
    if form == "csv":
        return as_csv(frame())
    if form == "latex":
        from results.forms.latex import typeset

        return typeset(columns, ranked or {}) + "".join(f"% {line}\n" for line in notes.splitlines())
    if form == "html":
        from results.forms.html import html_page

        return html_page(columns, f"{', '.join(arguments.runs)}", notes.splitlines())
    on_screen = form == "table" and not arguments.out
    return f"{for_screen(columns) if on_screen else tabulated(columns, FORMS[form])}\n\n{notes}\n"


def _write_parquet(frame: pd.DataFrame, out: str | None) -> None:
    if out is None:
        raise ResultsError("--format parquet: expected --out FILE to write to")
    try:
        frame.to_parquet(out, index=False)
    except ImportError:
        raise ResultsError("--format parquet: pyarrow is not installed, expected it, or another format") from None


if __name__ == "__main__":
    from benchmarks.core.screen import screen

    gc.disable()  # what a table is made of has no circles, and looking for some takes a sixth of the time
    with screen():
        sys.exit(main(sys.argv[1:]))
