"""``ablations/paper.py`` over runs that are written, not trained: states, tables, page, LaTeX, and what is missing."""

from __future__ import annotations

import html
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from grid_runs import write_run
from html_page import Page
from trained_runs import Ended, assert_one_line, call

import ablations.paper
import benchmarks.run
from ablations.paper import command_of
from ablations.sections import show
from ablations.sections.plan import Asked, distinct_runs, plan
from ablations.sections.section import read_paper
from ablations.sweep import report
from ablations.sweep.grid_plot import plot_grid
from benchmarks.config.run import Run
from benchmarks.launch import compare, here
from benchmarks.state import lock
from results.plots.files import FORMATS, write_figure
from results.records.record import read_record

Command = Callable[..., Ended]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The command; no run is trained, no cost counted, and plots are files that hold their names."""

    def write(run: Any, watcher: Any, *_: Any) -> Any:
        watcher.started(0)
        write_run(run.cfg, run.folder, 20.0 + run.cfg.TERMS.MRM.RATIO * ("mrm" in run.cfg.METHOD) + run.cfg.SEED)
        return read_record(run.folder)

    monkeypatch.setattr(here, "run_one", write)
    monkeypatch.setattr(compare, "check_runs", lambda *_: None)
    monkeypatch.setattr(report, "_costs", lambda rows, counter: ([1e9] * len(rows), [1.0] * len(rows)))
    monkeypatch.setattr(show, "plot_grid", lambda grid, rows, frame: grid.name)
    monkeypatch.setattr(show, "write_figure", named_files)
    monkeypatch.chdir(tmp_path)
    return lambda *words: call(ablations.paper, list(words), monkeypatch, capfd)


def named_files(name: str, stem: Path) -> list[Path]:
    paths = [stem.with_suffix(f".{form}") for form in FORMATS]
    for path in paths:
        path.write_text(name)
    return paths


def runs_of(only: str, protocol: str = "streets", seeds: tuple[int, ...] = (0,)) -> dict[str, Run]:
    """The runs of sections by label, as the command names them."""
    paper = read_paper()
    asked = Asked(protocol, None, seeds, {}, Path("runs"))
    return dict(distinct_runs(plan(paper, paper.named(only), asked, named=True)))


def folder_of(protocol: str = "streets") -> Path:
    (found,) = Path("runs").glob(f"paper-{protocol}-*")
    return found


def page_of(protocol: str = "streets") -> Page:
    return Page((folder_of(protocol) / "paper.html").read_text(encoding="utf-8"))


def column(table: list[list[str]], head: str) -> list[str]:
    return [row[table[0].index(head)] for row in table[1:]]


def test_a_section_without_runs_has_its_rows_as_missing_with_the_commands_that_make_them(command: Command) -> None:
    ended = command("--only", "table6,ratio", "--show", "--seeds", "0,1")
    assert (ended.code, ended.err) == (0, "")
    page = page_of()
    assert column(page.tables["table6-table"], "masking location") == ["none", "input", "latent"]
    assert column(page.tables["table6-table"], "state") == ["missing"] * 3
    assert column(page.tables["ratio-table"], "state") == ["missing"] * 5
    assert column(page.tables["overview-table"], "state") == ["missing"] * 2
    assert column(page.tables["overview-table"], "runs") == ["6", "10"]
    assert "12 different runs: 12 missing." in page.text
    assert "0.6: seed 0 missing, seed 1 missing" in page.text
    made = "python benchmarks/run.py --protocol streets --methods dacs+mrm --seeds 0,1 --network daformer-lite0 "
    keys = "TERMS.MRM.STRATEGY random TERMS.MRM.WEIGHT 1.0 TERMS.MRM.RATIO 0.6"
    assert made + keys in page.text
    assert "python ablations/paper.py --only ratio --seeds 0,1" in page.text
    assert not list(folder_of().glob("*.png")) and "img" not in page.elements  # there is nothing to be drawn
    assert "missing" in (folder_of() / "table6.tex").read_text()


def test_a_rows_command_makes_the_rows_own_runs(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("--only", "mic,lambda,view", "--show", "--seeds", "2").code == 0
    text = (folder_of() / "paper.html").read_text(encoding="utf-8")
    lines = [html.unescape(each) for each in re.findall("<code>(python benchmarks/run.py .*?)</code>", text)]
    made: list[Run] = []
    monkeypatch.setattr(compare, "compare_methods", lambda runs, *_, **__: made.extend(runs) or 0)
    for line in lines:
        monkeypatch.setattr("sys.argv", shlex.split(line)[1:])
        benchmarks.run.main()
    assert {run.folder for run in made} == {run.folder for run in runs_of("mic,lambda,view", seeds=(2,)).values()}


def test_each_row_has_its_state_and_what_is_finished_its_figures(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = runs_of("ratio", seeds=(0, 1))
    for label, score in {
        "without MRM, seed 0": 20.0,
        "without MRM, seed 1": 21.0,
        "0.2, seed 0": 22.0,
        "0.2, seed 1": "diverged",
        "0.4, seed 0": "failed",
        "0.4, seed 1": 23.0,
        "0.6, seed 0": "running",
    }.items():
        run = runs[f"ratio {label}"]
        write_run(run.cfg, run.folder, score)
    with lock.locked(runs["ratio 0.6, seed 0"].folder):
        assert command("--only", "ratio", "--show", "--seeds", "0,1").code == 0
    page = page_of()
    table = page.tables["ratio-table"]
    assert column(table, "state") == [
        "finished",
        "1 finished, 1 diverged",
        "1 failed, 1 finished",
        "1 running, 1 missing",
        "missing",
    ]
    assert column(table, "mIoU (19)") == ["20.5 ± 0.7", "22.0", "23.0", "–", "–"]
    assert column(table, "vs without MRM") == ["–", "+2.0", "+2.0", "–", "–"]
    assert "unfinished" not in table[0]
    assert "Diverged: 0.2, seed 1" in page.text and "0.4: seed 0 failed" in page.text
    assert "0.2: seed" not in page.text  # what has diverged is over
    assert [each["src"] for each in page.elements["img"]] == ["data:image/png;base64,bWFzay1yYXRpbw=="]  # mask-ratio
    frame = pd.read_csv(folder_of() / "ratio.csv")
    assert frame["state"].tolist()[0] == "finished" and frame["miou"].tolist()[:3] == [20.5, 22.0, 23.0]
    of_ratio = {f"ratio.{end}" for end in ("csv", "md", "tex", "png", "pdf", "svg")}
    names = {"paper.html", "paper.tex", "paper.md", *of_ratio}
    assert {path.name for path in folder_of().iterdir()} == names


def test_the_page_of_published_records_is_that_of_the_runs(command: Command) -> None:
    for index, (label, run) in enumerate(runs_of("ratio,view", seeds=(0, 1)).items()):
        if not label.startswith("view plain target"):
            write_run(run.cfg, run.folder, 20.0 + index)
            shutil.copytree(run.folder, Path("records") / f"streets-{run.id}")
    words = ("--only", "ratio,view", "--seeds", "0,1")
    assert command(*words, "--show").code == 0
    shown = folder_of().rename("shown")
    shutil.rmtree("runs")
    (Path("records") / "damaged").mkdir()
    (Path("records") / "damaged" / "record.json").write_text("{")
    ended = command(*words, "--records", "records", "--output", "out")
    assert ended.code == 0 and ended.err.startswith("left out: records/damaged/record.json: expected a JSON record")
    assert len(list(Path("records").iterdir())) == 10 + 1 and not Path("runs").exists()
    (folder,) = Path("out").glob("paper-streets-*")
    page = Page((folder / "paper.html").read_text(encoding="utf-8"))
    assert column(page.tables["ratio-table"], "state") == ["finished"] * 5
    assert column(page.tables["view-table"], "state") == ["finished", "finished", "missing"]
    assert "python ablations/paper.py --only view --seeds 0,1 --output out" in page.text  # makes what is missing
    for name in ("ratio.md", "ratio.tex", "view.md", "paper.md"):
        assert (folder / name).read_text(encoding="utf-8") == (shown / name).read_text(encoding="utf-8")


def test_the_markdown_has_all_sections_in_their_order(command: Command) -> None:
    write_run((run := next(iter(runs_of("ratio").values()))).cfg, run.folder, 20.0)
    assert command("--only", "hosts-synthia,ratio", "--show", "--seeds", "0").code == 0
    text = (folder_of() / "paper.md").read_text(encoding="utf-8")
    heads = [line for line in text.splitlines() if line.startswith("#")]
    assert [head.split("(")[0].strip() for head in heads] == ["## Hosts with and without MRM", "## Mask ratio of MRM"]
    assert text.startswith("Masked Representation Modeling (arXiv 2509.13801): streets. Seeds 0. ")
    assert "Left out: it goes with --protocol gta-cityscapes alone." in text
    assert (folder_of() / "ratio.md").read_text(encoding="utf-8") in text and text.count("| mask ratio ") == 1


def test_runs_of_drawn_streets_have_no_published_figure_beside_them_and_it_is_said(command: Command) -> None:
    for run in runs_of("ratio").values():
        write_run(run.cfg, run.folder, 20.0)
    assert command("--only", "ratio", "--show", "--seeds", "0").code == 0
    page = page_of()
    assert not any("published" in head for head in page.tables["ratio-table"][0]) and "55.9" not in page.text
    assert "No published figure is of such runs" in page.text and "protocol streets" in page.text
    assert "view mixed (TERMS.MRM.VIEW). The paper does not settle" in page.text


def test_published_figures_stand_beside_runs_of_their_own_protocol_measured_or_not(command: Command) -> None:
    words = ("--protocol", "gta-cityscapes", "--only", "hosts,ratio", "--show", "--seeds", "0")
    run = runs_of("ratio", "gta-cityscapes")["ratio 0.4, seed 0"]
    write_run(run.cfg, run.folder, 56.5)
    assert command(*words).code == 0
    page = page_of("gta-cityscapes")
    tables = page.tables
    heads = tables["hosts-table"][0]
    assert heads.index("published") < heads.index("s/iteration") and "not as published" not in heads
    assert "Not as published: iterations 40000 (250000) (DACS, none), training not stated there" in page.text
    assert column(tables["ratio-table"], "published") == ["52.1", "54.3", "55.9", "55.2", "54.1"]
    assert column(tables["ratio-table"], "vs published")[2] == "+0.6"
    hosts = [52.1, 55.9, 68.3, 70.3, 73.8, 75.4, 75.9, 77.5]
    assert column(tables["hosts-table"], "published") == list(map(str, hosts))
    assert column(tables["hosts-table"], "published difference")[1::2] == ["+3.8", "+2.0", "+1.6", "+1.6"]


def test_what_is_finished_is_not_made_again_and_the_rest_is_made(command: Command) -> None:
    words = ("--only", "table6,ratio", "--seeds", "0,1")
    planned = command(*words, "--dry-run")
    assert planned.code == 0 and not Path("runs").exists()
    assert "16 runs of 2 sections are 12 different ones" in planned.out
    assert "time of all together: unknown, no run of these methods and networks is finished" in planned.out
    for label, run in runs_of("ratio", seeds=(0, 1)).items():
        if "without" in label or "0.4" in label:
            write_run(run.cfg, run.folder, 20.0 + run.cfg.SEED)
    made = command(*words)
    assert (made.code, made.err) == (0, "")
    assert made.out.count("finished before") == 4 and "ratio 0.6, seed 1: mIoU 21.6" in made.out
    hours = 6 * 0.6 * 350 / 3600  # 0.6 s an iteration in the records
    told = f"time of all together: about {hours:.1f} hours for 6 runs, by finished runs on CPU, 6 of them by other"
    assert told in made.out
    assert "method and network; unknown for 2\n" in made.out  # input masking
    assert column(page_of().tables["overview-table"], "state") == ["finished"] * 2
    assert "What is not finished" not in page_of().text
    again = command(*words)
    assert again.out.count("finished before") == 12 and "time of all together: none, no run is to be made" in again.out


def test_of_runs_that_are_left_in_a_queue_there_is_a_page_by_now(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for queued, code in ((True, 0), (False, 1)):
        monkeypatch.setattr(compare, "make_runs", lambda runs, *_, queued=queued, **__: compare.Made([], [], queued))
        assert command("--only", "mask-only", "--seeds", "0").code == code
        assert column(page_of().tables["mask-only-table"], "state") == ["missing"] * 2


@pytest.mark.slow
def test_latex_of_all_sections_compiles(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "plot_grid", plot_grid)
    monkeypatch.setattr(show, "write_figure", write_figure)
    for run in runs_of("table6,view").values():
        write_run(run.cfg, run.folder, 20.0)
    assert command("--only", "hosts-synthia,table6,lambda,view", "--show", "--seeds", "0").code == 0
    text = (folder_of() / "paper.tex").read_text(encoding="utf-8")
    assert text.count(r"\section{") == 4 and text.count(r"\includegraphics") == 3
    assert "Left out: it goes with" in text
    if (tex := shutil.which("pdflatex")) is None:
        assert not os.environ.get("SEGSHIFT_REQUIRE_LATEX"), "pdflatex is not installed"
        pytest.skip("pdflatex is not installed")
    words = [tex, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    made = subprocess.run(words, cwd=folder_of(), capture_output=True, text=True)
    assert made.returncode == 0, made.stdout[-2000:]
    assert "Overfull" not in made.stdout


def test_a_sections_command_has_the_options_of_this_one_but_for_what_is_made() -> None:
    words = ["--only", "table6,ratio", "--seeds", "0", "--show", "--only=view", "SOLVER.ITERS", "20", "--dry-run"]
    kept = ["--seeds", "0", "SOLVER.ITERS", "20"]
    assert command_of(words, "view") == ["python", "ablations/paper.py", "--only", "view", *kept]
    assert command_of(words, "") == ["python", "ablations/paper.py", *words]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--only tabel6", "--only: unknown section 'tabel6'; did you mean 'table6'?"),
        ("--quick --protocol gta-cityscapes", "--quick runs on streets alone, not on gta-cityscapes"),
        ("--only hosts-synthia", "no section is left to be made"),
        ("--records . --dry-run", "--records makes no run, expected no --dry-run beside it"),
        ("--records .", "--records .: has none of the 141 runs that are asked for (such as "),
        ("--records elsewhere", "elsewhere"),
    ],
)
def test_what_cannot_be_is_one_line(words: str, line: str, command: Command) -> None:
    assert_one_line(command(*words.split()), line)


def test_the_list_names_all_sections(command: Command) -> None:
    out = command("--list").out
    assert all(section.name in out for section in read_paper().sections) and "Table 6" in out
