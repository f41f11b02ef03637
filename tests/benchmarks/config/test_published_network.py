"""A method that runs on another network than its published figures are of: one line says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_runs import EVALUATIONS, write
from record_files import read_record, write_record

from benchmarks.config.published_network import other_networks
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder
from benchmarks.config.spec import RunSpec
from benchmarks.launch import compare, here
from methods.framework.recipes import PARTS, parse
from results.records import record as records
from results.records.published import read_published
from results.records.record import FINISHED


@pytest.mark.parametrize(
    ("protocol", "method", "network", "lines"),
    [
        ("gta-cityscapes", "daformer", None,
         ["daformer is published on daformer-mitb5, and runs here on deeplabv2-r101"]),
        ("synthia-cityscapes", "hrda+mic", None,
         ["hrda is published on daformer-mitb5, and runs here on deeplabv2-r101"]),
        ("gta-cityscapes", "daformer+mic+mrm", "daformer-mitb0",
         ["daformer is published on daformer-mitb5, and runs here on daformer-mitb0"]),
        ("gta-cityscapes", "dacs+mrm", "daformer-mitb5",
         ["dacs is published on deeplabv2-r101, and runs here on daformer-mitb5"]),
        ("gta-cityscapes", "daformer", "daformer-mitb5", []),
        ("gta-cityscapes", "dacs+mic", None, []),
        ("gta-cityscapes", "daformer+mic", "daformer-mitb3", []),  # has a figure of its own
        ("gta-cityscapes", "source-only", None, []),  # has none
        ("cityscapes-acdc", "dacs", None, []),  # none under this protocol
        ("streets", "daformer", None, []),  # nor here
        ("gta-cityscapes-vfm", "dacs", None, []),  # figures of foundation networks, none of the host's usual one
    ],
)  # fmt: skip
def test_which_network_is_told(protocol: str, method: str, network: str | None, lines: list[str]) -> None:
    assert other_networks([RunSpec(protocol, method, network, seed).resolve() for seed in (0, 1)]) == lines


def test_each_host_with_figures_names_a_network_that_they_are_of() -> None:
    networks: dict[str, set[str]] = {}
    for names in read_published():
        networks.setdefault(parse(names.method).host.name, set()).add(names.network)
    assert all(PARTS[host].network in known for host, known in networks.items())
    assert not any(part.network for part in PARTS.values() if part.name not in networks)


def test_it_is_told_before_the_run_and_in_the_caption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "daformer is published on daformer-mitb5, and runs here on deeplabv2-r101"
    spec = RunSpec("gta-cityscapes", "daformer", overrides={"SOLVER.ITERS": 5})
    cfg = spec.resolve()
    folder = run_folder(tmp_path, cfg)

    def check(*_: object) -> None:
        assert line in capsys.readouterr().out.splitlines()
        write(folder, cfg, EVALUATIONS, FINISHED)
        record = read_record(folder) or {}
        write_record(folder, record | {"seconds_per_iteration": 1.0, "wall_seconds": 1.0})

    monkeypatch.setattr(compare, "check_runs", check)
    monkeypatch.setattr(here, "run_one", lambda *_: records.read_record(folder))
    assert compare.compare_methods([Run.of(spec, tmp_path)], tmp_path, force=False, quick=False) == 0
    assert f"{line}." in capsys.readouterr().out
    assert f"{line}." in next(tmp_path.glob("*.md")).read_text()
