"""Methods over their iterations: ``python results/curves.py runs --plot curves``."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from os.path import expanduser
from pathlib import Path
from typing import TYPE_CHECKING

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from results.files.errors import ResultsError
from results.files.told import exit_code
from results.records.record import write_text
from results.records.scores import HEADLINE, STUDENT, TEACHER

if TYPE_CHECKING:
    import pandas as pd

    from results.tables.learning_curves import Curve
    from results.tables.rows import Row
    from results.tables.summary import Mean

FORMATS = ("table", "markdown", "latex", "csv")
Means = dict[str, "dict[float, Mean]"]


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="results/curves.py",
        description="Learning curves of methods over their seeds, as a table and a plot: mIoU at each evaluation, or "
        "what else runs wrote down while they trained. Run folders are read, and nothing else.",
    )
    parser.add_argument("runs", type=expanduser, nargs="*", default=["runs"], help="folders of runs (default: runs)")
    parser.add_argument(
        "--metric",
        default=f"{STUDENT}/{HEADLINE}",
        help="a name of metrics.json, as pseudo_label_accuracy or gradient_norm/student (default: student/mIoU)",
    )
    parser.add_argument(
        "--every",
        type=int,
        metavar="N",
        help="average over N iterations each (default: mIoU at each evaluation, of others a 40th of a run)",
    )
    parser.add_argument(
        "--where", action="append", default=[], metavar="KEY=VALUE", help="runs of this method, network or config key"
    )
    parser.add_argument("--format", choices=FORMATS, default="table")
    parser.add_argument("--out", type=expanduser, help="write the table to this file")
    parser.add_argument("--plot", type=expanduser, metavar="STEM", help="write a plot as STEM.png, STEM.pdf, STEM.svg")
    parser.add_argument("--plots", default="png,pdf,svg", help="formats of the plot (default: png,pdf,svg)")
    parser.add_argument(
        "--plot-width", choices=("column", "page"), default="column", help="of a two-column paper (default: column)"
    )
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """The command; returns the exit code: 1 where a damaged file is left out, 2 (and one line) for a user's slip."""
    arguments = parse_arguments(words)
    return exit_code(lambda tell: _make(arguments, tell), arguments.out)


def _make(arguments: argparse.Namespace, tell: Callable[[str], None]) -> None:
    """Print or write the table, and write the plot.

    Raises:
        ResultsError: no runs, an unknown name, runs that cannot be in one table, or ``--plot``; OSError: ``--out``.
    """
    from results.plots.files import read_formats
    from results.records.images import MadeOf
    from results.records.record import Records
    from results.tables.learning_curves import over_seeds
    from results.tables.rows import rows_of
    from results.tables.selection import read_runs, selected

    formats = read_formats(arguments.plots)
    if arguments.every is not None and arguments.every < 1:
        raise ResultsError(f"--every is {arguments.every}, expected at least 1")
    made_of, records = MadeOf(), Records(whole=True)
    runs = selected(read_runs(arguments.runs, tell, made_of, records), arguments.where, tell)
    by = ["method", *(name for name in ("network", "protocol") if runs[name].nunique() > 1)]
    rows = rows_of(runs, by, tell, records)
    if arguments.metric.endswith(f"/{HEADLINE}"):
        _check_classes(runs, rows, arguments.metric)
    curves = {row.label: _curves(row, arguments.metric, arguments.every, tell) for row in rows}
    means: Means = {label: found for label, each in curves.items() if (found := over_seeds(each))}
    if not means:
        raise ResultsError(_no_curve(arguments.metric, rows))
    notes = _notes(arguments, runs, curves, means, made_of.told(unrecorded=False).strip())
    text = _formatted(arguments.format, means, 1 if _is_score(arguments.metric) else 3, notes, bool(arguments.out))
    if arguments.out:
        write_text(Path(arguments.out), text)
    else:
        print(text.rstrip("\n"))
    if arguments.plot:
        paths = _write_plot(arguments, formats, rows, means)
        print(f"plot: {', '.join(map(str, paths))}", file=sys.stderr)


def _is_score(metric: str) -> bool:
    """Whether it is measured at evaluations, in percent; what else there is stands in a line every few iterations."""
    return metric.startswith((f"{STUDENT}/", f"{TEACHER}/"))


def _check_classes(runs: pd.DataFrame, rows: Sequence[Row], metric: str) -> None:
    """Raise ResultsError where the mIoU of some is over other classes: they are no curves of one figure."""
    from results.tables.class_means import over_the_same_classes

    sizes = {record.classes: row.label for row in rows for record in row.records.values()}
    if len(sizes) > 1:
        told = " and ".join(f"{size} classes ({label})" for size, label in sizes.items())
        raise ResultsError(
            f"{metric} is over {told}: expected --metric {metric}-{min(sizes)}, or runs of one class set (--where)"
        )
    for protocol, group in runs.groupby("protocol", sort=False):
        if over_the_same_classes(group) is not group:  # a table computes them again, the points of a curve cannot be
            raise ResultsError(
                f"{metric} of {protocol}: some runs count classes without labels that others leave out, expected "
                "runs of one version or validation set (--where)"
            )


def _curves(row: Row, metric: str, every: int | None, tell: Callable[[str], None]) -> list[Curve]:
    from results.tables.learning_curves import STUDENT_MIOU, averaged, metric_curves, miou_curve

    done = row.finished
    longest = [int(most) for most in done["max_iterations"]]
    if metric == STUDENT_MIOU:
        found = miou_curve(row)
        if every is None:
            return found
        counted = ({int(at) - 1: miou for at, miou in curve.items()} for curve in found)
        return [averaged(curve, every, most) for curve, most in zip(counted, longest, strict=True)]
    found = []
    for folder, most in zip(done["folder"], longest, strict=True):
        width = every or (1 if _is_score(metric) else None)
        try:
            found.append(metric_curves(Path(folder), most, (metric,), width).get(metric, {}))
        except ResultsError as error:
            tell(f"left out: {error}")
            found.append({})
    return found


def _no_curve(metric: str, rows: Sequence[Row]) -> str:
    """Why there is nothing to show."""
    from results.records.metrics import read_metrics

    known: dict[str, None] = {}
    for folder in (folder for row in rows for folder in row.finished["folder"]):
        try:
            known |= dict.fromkeys(read_metrics(Path(folder), ""))
        except ResultsError:
            continue
    names = sorted(set(known) - {"iteration"})
    if not names:
        return f"--metric {metric}: no finished run there has it in its metrics.json"
    near = difflib.get_close_matches(metric, names, n=1)
    return f"--metric {metric}: no finished run has it" + (
        f"; did you mean {near[0]}?" if near else f", expected one of {', '.join(names)}"
    )


def _notes(
    arguments: argparse.Namespace,
    runs: pd.DataFrame,
    curves: Mapping[str, Sequence[Curve]],
    means: Means,
    mixed: str,
) -> str:
    """Lines on what is shown, of how many seeds, and what is not in it."""
    from results.files.text import one_line
    from results.tables.notes import on_counted, on_unfinished

    metric, every = arguments.metric, arguments.every
    what = f"{metric}, in percent" if _is_score(metric) else metric
    part = "" if _is_score(metric) and every is None else f", means over {every or 'a 40th of the'} iterations each"
    numbers = {label: sum(map(bool, each)) for label, each in curves.items() if label in means}
    notes = [f"{what}{part}; {_of_seeds(numbers)}."]
    for label, each in curves.items():
        if lacking := len(each) - numbers.get(label, 0):
            notes.append(f"{label}: {lacking} finished run{'s' * (lacking > 1)} without {metric}.")
    notes += on_counted(runs) if metric.endswith(f"/{HEADLINE}") else []
    notes += [mixed] if mixed else []
    return "\n".join(map(one_line, [*notes, *on_unfinished(runs)]))


def _of_seeds(numbers: Mapping[str, int]) -> str:
    """Say of how many seeds the rows are."""
    known = set(numbers.values())
    if known == {1}:
        return "of one seed each"
    each = ", ".join(f"{number} of {label}" for label, number in numbers.items())
    told = f"of {min(known)} seeds each" if len(known) == 1 else f"seeds: {each}"
    return f"{told}; ± is the sample deviation over them, and points are those that all seeds of a row have"


def _formatted(form: str, means: Means, digits: int, notes: str, to_file: bool) -> str:
    import pandas as pd

    from results.forms.cells import FORMS, as_csv, tabulated
    from results.forms.folding import for_screen
    from results.tables.learning_curves import point_text

    if form == "csv":
        rows = [
            {"row": label, "iteration": int(at), "mean": each.mean, "deviation": each.deviation, "n": each.n}
            for label, points in means.items()
            for at, each in points.items()
        ]
        return as_csv(pd.DataFrame(rows))
    iterations = sorted({at for points in means.values() for at in points})
    columns = {"iteration": [f"{at:.0f}" for at in iterations]}
    for label, points in means.items():
        columns[label] = [point_text(points[at], digits) if at in points else "-" for at in iterations]
    if form == "latex":
        from results.forms.latex import typeset

        return typeset(columns, {}) + "".join(f"% {line}\n" for line in notes.splitlines())
    on_screen = form == "table" and not to_file
    return f"{for_screen(columns) if on_screen else tabulated(columns, FORMS[form])}\n\n{notes}\n"


def _write_plot(
    arguments: argparse.Namespace, formats: Sequence[str], rows: Sequence[Row], means: Means
) -> list[Path]:
    from results.plots.curves import curves
    from results.plots.files import write_figure
    from results.plots.row_looks import row_looks
    from results.plots.style import WIDTHS

    runs = rows[0].runs
    y_label = f"{arguments.metric} (%)" if _is_score(arguments.metric) else arguments.metric
    numbers = sorted({point.n for points in means.values() for point in points.values()})
    figure = curves(
        means,
        row_looks(rows),
        title=f"{runs['protocol'][0]}, {runs['network'][0]}",
        y_label=y_label,
        note=f"Means over {' or '.join(map(str, numbers))} seeds; bands are the sample deviation"
        if numbers[-1] > 1
        else "One seed each",
        width=WIDTHS[arguments.plot_width],
    )
    try:
        return write_figure(figure, Path(arguments.plot), formats)
    except OSError as error:
        raise ResultsError(f"--plot {arguments.plot}: cannot be written ({error.strerror})") from None


if __name__ == "__main__":
    from benchmarks.core.screen import screen

    with screen():
        sys.exit(main(sys.argv[1:]))
