"""Runs that share a GPU or cores: who is seen, for which iterations, and what a process that is gone leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.state import neighbours
from benchmarks.state.neighbours import Neighbours, Place

HERE = Place("", frozenset({0, 1}))


@pytest.mark.parametrize(
    ("mine", "other", "shared"),
    [
        (HERE, Place("", frozenset({1, 2})), True),
        (HERE, Place("", frozenset({2, 3})), False),
        (HERE, Place("GPU-a", frozenset({1})), True),  # what drives a GPU takes a core
        (Place("GPU-a", frozenset({0})), Place("GPU-a", frozenset({7})), True),
        (Place("GPU-a", frozenset({0})), Place("GPU-b", frozenset({0})), False),
        (Place("GPU-a", frozenset({0})), HERE, False),
    ],
)
def test_a_place_is_shared_by_gpu_or_by_cores(mine: Place, other: Place, shared: bool) -> None:
    assert mine.is_shared_with(other) is shared


def test_neighbours_count_for_the_iterations_that_they_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_LOOK", 0.0)
    first = Neighbours(tmp_path, tmp_path / "first", HERE)
    first.step()
    second, third = (Neighbours(tmp_path, tmp_path / name, HERE) for name in ("second", "third"))
    elsewhere = Neighbours(tmp_path, tmp_path / "elsewhere", Place("", frozenset({5})))
    rank_of_first = Neighbours(tmp_path, tmp_path / "first", HERE)
    first.step()
    third.leave()
    first.step()
    second.leave()
    first.step()
    assert first.as_record() == {"shared": {"iterations": 2, "of": 4, "others": 2}}
    elsewhere.step()
    assert elsewhere.as_record() == {"shared": {"iterations": 0, "of": 1, "others": 0}}
    for each in (first, rank_of_first, elsewhere):
        each.leave()
    assert list((tmp_path / "neighbours").iterdir()) == []


def test_looks_are_seconds_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, looks = [100.0], list[float]()
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    run = Neighbours(tmp_path, tmp_path / "run", HERE)
    monkeypatch.setattr(run, "count", lambda: looks.append(now[0]) or 1)
    for second in (0.0, 0.5, 1.9, 2.0, 3.0, 4.1):
        now[0] = 100.0 + second
        run.step()
    assert looks == [100.0, 102.0, 104.1]
    assert run.as_record()["shared"]["iterations"] == 6


def test_what_a_dead_process_left_is_no_neighbour(tmp_path: Path) -> None:
    run = Neighbours(tmp_path, tmp_path / "run", HERE)
    (mine,) = (tmp_path / "neighbours").iterdir()
    left = mine.with_name(mine.name.rpartition("-")[0] + "-1")
    told = json.loads(mine.read_bytes())
    left.write_text(json.dumps(told | {"run": "another"}))  # its lock went with it
    assert run.count() == 0 and not left.exists()
    child = os.fork()
    if child == 0:  # one that is killed, rather than leaving
        Neighbours(tmp_path, tmp_path / "other", HERE)
        os._exit(0)
    os.waitpid(child, 0)
    assert run.count() == 0 and list((tmp_path / "neighbours").iterdir()) == [mine]


def test_another_machine_of_this_name_is_no_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers may be called alike, and share a cache."""
    run = Neighbours(tmp_path, tmp_path / "run", HERE)
    host = neighbours.machine()[0]
    with monkeypatch.context() as there:
        there.setattr(neighbours, "machine", lambda: (host, "another boot"))
        other = Neighbours(tmp_path, tmp_path / "other", HERE)
    assert run.count() == 0
    other.leave()


def test_where_nothing_can_be_written_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "neighbours").write_text("in the way")
    run = Neighbours(tmp_path, tmp_path / "run", HERE)
    run.step()
    assert run.as_record() == {}
    run.leave()
