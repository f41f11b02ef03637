"""Records, configs and folders that were damaged, or made to mislead: each is named, and the rest is shown."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from fake_queue import Queue
from record_files import read_record, write_record
from written_runs import write_run

from benchmarks.engine.hooks import MetricsHook
from benchmarks.launch.state_table import state_table
from benchmarks.state.run_states import RunState, run_states
from results.collect import main
from results.files.errors import ResultsError
from results.forms.cells import markdown
from results.records.record import as_json
from results.tables.frame import collect

HOSTILE = "a\x1b[2Jb\u202ec\x07d\x85e\u2028f"  # clears the screen, turns the direction, rings, ends lines


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_run(tmp_path / "runs/good", "dacs", 0, 41.5, 0.4)
    write_run(tmp_path / "runs/other", "dacs+mrm", 0, 42.5, 0.4)
    return tmp_path / "runs"


def change(folder: Path, keys: str, value: Any) -> None:
    """Set ``a.b.c`` of a record, as by another program."""
    path = folder / "record.json"
    record = json.loads(path.read_text())
    node = record
    *inner, last = keys.split(".")
    for key in inner:
        node = node.setdefault(key, {})
    node[last] = value
    path.write_text(json.dumps(record))


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], list[str]]:
    """Exit code, and the lines on stdout and stderr."""
    code = main(list(words))
    out, err = capsys.readouterr()
    return code, out.splitlines(), err.splitlines()


def states_of(output: Path) -> list[RunState]:
    return run_states(output, Queue())[0]


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ("id", ["a"]),
        ("spec", "dacs"),
        ("spec.method", {"a": 1}),
        ("spec.seed", "zero"),
        ("classes", "many"),
        ("classes", None),
        ("classes", -1),
        ("iterations", "350"),
        ("iterations", True),
        ("max_iterations", None),
        ("max_iterations", [350]),
        ("seconds_per_iteration", "fast"),
        ("peak_memory_mib", {"gpu": 1}),
        ("wall_seconds", [1]),
        ("hardware", "CPU"),
        ("parameters", 7),
        ("result", [1]),
        ("result.student", 41.5),
        ("result.student.miou", "41.5"),
        ("result.student.miou", 10**400),
        ("result.student.miou_by_classes", {"many": 3.0}),
        ("result.student.miou_by_classes", [3.0]),
        ("result.criteria", [1]),
        ("curve", "up"),
        ("curve", [3]),
        ("curve", [None]),
        ("curve", [{"iteration": 1, "miou": "x"}]),
        ("curve", {"iteration": 1}),
        ("reason", {"why": 1}),
    ],
)
def test_a_value_of_another_kind_is_named_and_the_rest_is_shown(
    runs: Path, capsys: pytest.CaptureFixture[str], keys: str, value: Any
) -> None:
    change(runs / "other", keys, value)
    code, out, err = shown(capsys, str(runs))
    assert code == 1 and len(out) == 2 + 1 and "41.5" in out[2]
    assert len(err) == 1 and err[0].startswith(f"left out: {runs / 'other' / 'record.json'}: ")
    assert keys.split(".")[-1] in err[0]
    broken, good = sorted(states_of(runs), key=lambda state: state.status == "finished")
    assert (broken.status, good.status) == ("failed", "finished")
    assert str(runs / "other" / "record.json") in broken.reason


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"schema": 1, "a": ' + "[" * 99 + "]" * 99 + "}"])
def test_a_record_that_is_too_deep_is_named(runs: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (runs / "other" / "record.json").write_text(text)
    code, out, err = shown(capsys, str(runs))
    assert code == 1 and len(out) == 3 and len(err) == 1 and "deep" in err[0]
    assert {state.status for state in states_of(runs)} == {"failed", "finished"}


@pytest.mark.parametrize(("lists", "told"), [(49, None), (50, "deep")])
def test_fifty_levels_are_read(tmp_path: Path, lists: int, told: str | None) -> None:
    text = f'{{"schema": 1, "status": "failed", "a": {"[" * lists}{"]" * lists}}}'
    (tmp_path / "record.json").write_text(text)
    if told is None:
        assert read_record(tmp_path) is not None
    else:
        with pytest.raises(ResultsError, match=told):
            read_record(tmp_path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["record.json", "config.yaml"])
@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_a_pipe_or_a_device_in_place_of_a_file_is_not_waited_for(
    runs: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    path = runs / "other" / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    code, out, err = shown(capsys, str(runs), "--keys", "SOLVER.ITERS")
    assert code == 1 and err[0].startswith(f"left out: {path}: ") and "no plain file" in err[0]
    assert "41.5" in out[2] and len(out) == (3 if name == "record.json" else 4)


def test_all_records_damaged_is_no_table(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("good", "other"):
        (runs / name / "record.json").write_text("{")
    code, out, err = shown(capsys, str(runs))
    assert code == 2 and out == [] and len(err) == 3 and err[2].startswith(f"error: {runs}: no run there")


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "csv"])
def test_what_steers_a_terminal_is_not_shown(runs: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    """A lone surrogate, which JSON can hold and no encoding can, ends nothing either."""
    for keys in ("id", "spec.method", "spec.protocol", "spec.network", "reason", "precision", "hardware.name"):
        change(runs / "other", keys, f"{HOSTILE}\ud800")
    config = {"SOLVER": {"ITERS": f"x{HOSTILE}"}}
    (runs / "other" / "config.yaml").write_text(json.dumps(config))
    code = main([str(runs), "--format", form, "--keys", "SOLVER.ITERS"])
    out, err = capsys.readouterr()
    out.encode("utf-8")
    assert code == 0 and err == "" and "a\N{REPLACEMENT CHARACTER}[2Jb" in out
    assert not [each for each in out if each != "\n" and (ord(each) < 32 or each in "\x85\u2028\u202e\x7f")]


def test_states_show_nothing_that_steers_a_terminal(runs: Path) -> None:
    change(runs / "other", "spec.method", f"{HOSTILE}\ud800")
    change(runs / "other", "status", "failed")
    change(runs / "other", "reason", f"because\r\n{HOSTILE}")
    text = state_table(states_of(runs))
    text.encode("utf-8")
    assert "because" in text and not set(text) & set("\x1b\x07\x85\r\u2028\u202e")
    assert len(text.splitlines()) == 2 + 2 + 2  # a line a run


# Folders


def test_linked_folders_are_looked_into_and_circles_cut(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(runs.parent / "elsewhere" / "x" / "third", "dacs", 1, 43.5, None)
    (runs.parent / "elsewhere" / "x" / "home").symlink_to(runs)  # back to where the walk began
    (runs / "a-link").symlink_to(runs.parent / "elsewhere")
    (runs / "a-run").symlink_to(runs / "good")  # sorted before its own name
    (runs / "good" / "loop").symlink_to(runs / "good" / "loop")
    (runs / "good" / "gone").symlink_to(runs / "nowhere")
    (runs / "good" / "notes").symlink_to(runs / "good" / "config.yaml")
    told: list[str] = []
    assert list(collect(runs, told.append)["folder"]) == [
        str(runs / "a-link/x/third"), str(runs / "good"), str(runs / "other")
    ]  # fmt: skip
    assert len(told) == 1 and told[0].startswith("left out: 2 linked folders that are here by another name")
    assert "2 links that lead nowhere" in told[0]
    code, out, err = shown(capsys, str(runs))
    assert code == 0 and len(out) == 2 + 3 and err == told
    assert [state.folder.name for state in states_of(runs)] == ["third", "good", "other"]


def test_a_folder_that_cannot_be_read_is_told(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def refusing(path: Any) -> Any:
        if Path(path).name == "other":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)  # the tests may run as root
    told: list[str] = []
    assert len(collect(runs, told.append)) == 1
    assert told == [f"left out: 1 folders that cannot be read (such as {runs / 'other'})"]


# Numbers that are none


def test_json_that_is_written_has_no_nan(tmp_path: Path) -> None:
    nan, endless = float("nan"), float("inf")
    write_record(tmp_path, {"status": "finished", "result": {"student": {"iou": {"road": nan, "car": 1.5}}},
                            "curve": [{"iteration": 1, "miou": -endless}], "pair": (nan, 2)})  # fmt: skip

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    written = json.loads((tmp_path / "record.json").read_text(), parse_constant=refuse)
    assert written["result"]["student"]["iou"] == {"road": None, "car": 1.5}
    assert written["curve"] == [{"iteration": 1, "miou": None}] and written["pair"] == [None, 2]
    assert as_json([endless]) == "[\n null\n]\n"


def test_a_record_with_nan_of_an_older_version_is_read(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(runs / "other", "result.student.miou", float("nan"))
    assert "NaN" in (runs / "other" / "record.json").read_text()
    record = read_record(runs / "other")
    assert record is not None and record["result"]["student"]["miou"] is None
    code, out, err = shown(capsys, str(runs))
    assert code == 0 and err == [] and "42.5" not in out[3].split()[6]


def test_a_markdown_cell_breaks_neither_row_nor_page(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(runs / "other", "spec.protocol", "a|b<img src=x>\nc & \\| d")
    code, out, _ = shown(capsys, str(runs), "--format", "markdown")
    assert code == 0 and len(out) == 2 + 2
    row = out[3]
    assert r"a\|b&lt;img src=x> c &amp; \\\| d" in row
    assert row.replace(r"\|", "").count("|") == out[0].count("|")
    assert markdown("a|b") == r"a\|b"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"spec": {"seed": "x"}}, "spec.seed is 'x', expected a whole number"),
        ({"curve": [{}, {"miou": True}]}, "curve[1].miou is True, expected a number"),
        ({"curve": [{}, None]}, "curve[1] is null, expected an object"),
        ({"resumed_at": None}, "resumed_at is None, expected a whole number"),
        ({"result": {"student": {"iou": {"road": "9"}}}}, "result.student.iou.road is '9', expected a number"),
        (
            {"result": {"student": {"metrics": {"fwIoU": {"x": 1}}}}},
            "result.student.metrics.fwIoU has 'x', expected a number of classes",
        ),
        ({"validation": {"labelled_pixels": {"road": -1}}}, "validation.labelled_pixels.road is -1, expected a whole"),
        ({"oracle": "no"}, "oracle is 'no', expected true or false"),
    ],
)
def test_a_record_of_another_kind_is_told_by_field(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    write_record(tmp_path, {"status": "finished"})
    path = tmp_path / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ResultsError, match=rf"record\.json: {re.escape(told)}"):
        read_record(tmp_path)


def test_metrics_have_null_for_a_score_of_nothing(tmp_path: Path, small_config: Callable[..., CfgNode]) -> None:
    with EventStorage(7) as storage:
        hook = MetricsHook(tmp_path, small_config("dacs"), "dacs")
        hook.trainer = SimpleNamespace(
            start_iter=7,
            iter=7,
            max_iter=8,
            storage=storage,
            progress=SimpleNamespace(owed={}),
            is_looked_at=lambda iteration: True,
        )
        hook.before_train()
        storage.put_scalars(miou=float("nan"), loss=1.5, smoothing_hint=False)
        hook.after_step()
        hook.trainer.iter = 8
        hook.after_train()
    (line,) = (tmp_path / "metrics.json").read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail) == {"iteration": 7, "loss": 1.5, "miou": None}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('"a\\u001b[2Jb"', "a\N{REPLACEMENT CHARACTER}[2Jb"),
        ('"a\x7fb"', "a\N{REPLACEMENT CHARACTER}b"),
        ('"a\u202eb"', "a\N{REPLACEMENT CHARACTER}b"),
        ("1e999", None),
        ("-1.5E+400", None),
        ("[-1e999, 1e2]", [None, 100.0]),
        pytest.param(f"1{'0' * 400}.5", None, id="many digits"),
        ('"4e2345"', "4e2345"),
        ("NaN", None),
    ],
)
def test_what_is_unfit_for_tables_is_cleaned_wherever_it_stands(tmp_path: Path, text: str, found: Any) -> None:
    (tmp_path / "record.json").write_text(f'{{"schema": 1, "status": "failed", "note": {text}}}', encoding="utf-8")
    record = read_record(tmp_path)
    assert record is not None and record["note"] == found
