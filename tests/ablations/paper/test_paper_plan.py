"""The sections of the paper as rows, and their runs as one list without doubles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ablations.sections.plan import Asked, PlannedSection, distinct_runs, plan
from ablations.sections.section import read_paper
from ablations.sweep.grid import grids, read_grid
from benchmarks.core.checkout import ROOT
from benchmarks.core.errors import ConfigError
from results.forms.cells import table_of

PAPER = read_paper()


def planned(protocol: str = "streets", only: str | None = None, **given: Any) -> dict[str, PlannedSection]:
    options: dict[str, Any] = {"network": None, "seeds": [0], "overrides": {}, "output": Path("runs")} | given
    sections = plan(PAPER, PAPER.named(only), Asked(protocol, **options), named=only is not None)
    return {each.section.name: each for each in sections}


def test_on_streets_each_run_is_listed_once_for_all_sections_that_need_it() -> None:
    """Counted by hand, a seed.

    8 hosts with and without MRM; masking the input 1; ratios 3; λ 4; blocks and widths 3 each; resolutions 4, none of
    them the protocol's; objectives 3 and masking alone 1; domains 2; parts 2; the plain view 1; further ratios 5;
    strategies 3; and of MIC's section global and local mixup, MIC, and MIC with MRM 4. MRM as the protocol has it and
    the host alone are in nearly all.
    """
    sections = planned()
    left_out = {name: each.why_none for name, each in sections.items() if each.why_none}
    assert set(left_out) == {"hosts-synthia", "architectures"}
    assert "--protocol gta-cityscapes" in left_out["hosts-synthia"] and "--only" in left_out["architectures"]
    runs = distinct_runs(list(sections.values()))
    expected = 8 + 1 + 3 + 4 + 2 * 3 + 4 + 3 + 1 + 2 + 2 + 1 + 5 + 3 + 4
    assert len({run.folder for _, run in runs}) == len({run.id for _, run in runs}) == len(runs) == expected == 47
    assert sum(len(each.runs) for each in sections.values()) == 81
    assert {run.cfg.NETWORK for _, run in runs} == {"daformer-lite0"}
    assert runs[0][0] == "hosts DACS, none, seed 0"


def test_of_the_papers_own_protocol_hosts_have_their_networks_and_synthia_is_there() -> None:
    """Eight hosts on SYNTHIA are added, and ten of architectures; MIC on DeepLabV2-R101 is in two sections then."""
    sections = planned("gta-cityscapes")
    assert not any(each.why_none for each in sections.values())
    assert len(distinct_runs(list(sections.values()))) == 46 + 8 + 10 - 2
    networks = {(row.host, row.cfg.NETWORK, row.cfg.PROTOCOL) for row in sections["hosts-synthia"].rows}
    of_synthia = {("dacs", "deeplabv2-r101"), *((host, "daformer-mitb5") for host in ("daformer", "hrda", "hrda+mic"))}
    assert networks == {(*each, "synthia-cityscapes") for each in of_synthia}


def test_seeds_come_one_after_the_other_so_that_fewer_make_whole_tables() -> None:
    sections = planned(only="ratio,table6", seeds=[3, 1])
    runs = distinct_runs(list(sections.values()))
    assert list(sections) == ["table6", "ratio"]  # as in the paper
    assert [run.cfg.SEED for _, run in runs] == [3] * 6 + [1] * 6
    labels = [label for label, _ in runs][:6]
    assert labels == [f"table6 {each}, seed 3" for each in ("none", "input", "latent")] + [
        f"ratio {each}, seed 3" for each in ("0.2", "0.6", "0.8")
    ]


def test_a_network_is_that_of_all_hosts_and_leaves_out_what_compares_networks() -> None:
    for given in ({"network": "daformer-tiny"}, {"overrides": {"NETWORK": "daformer-tiny"}}):
        sections = planned("gta-cityscapes", "hosts,architectures", **given)
        assert {row.cfg.NETWORK for row in sections["hosts"].rows} == {"daformer-tiny"}
        assert "daformer-tiny" in sections["architectures"].why_none
    assert len(planned(only="architectures")["architectures"].rows) == 10  # where it is named


def test_values_that_a_section_leaves_out_are_in_another() -> None:
    sections = planned(only="objective,mask-only,ratio,stability")
    labels = {name: [row.label for row in each.rows] for name, each in sections.items()}
    assert labels["ratio"] == ["without MRM", "0.2", "0.4", "0.6", "0.8"]
    assert len(labels["stability"]) == 10 and set(labels["ratio"]) < set(labels["stability"])
    assert labels["mask-only"] == ["without MRM", "mask without rebuilding"]
    assert len(labels["objective"]) == 5 and "mask without rebuilding" not in labels["objective"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("tabel6", "--only: unknown section 'tabel6'; did you mean 'table6'?"),
        ("ratio,lamda", "--only: unknown section 'lamda'; did you mean 'lambda'?"),
        (" , ", "--only is empty, expected some of hosts, "),
    ],
)
def test_an_unknown_section_has_the_nearest_named(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        PAPER.named(text)
    assert str(error.value).startswith(line)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("- {name: a, grid: lambda, where: b}", "a: about is missing"),
        ("- {name: a, grid: lambda, where: b, about: c, value: [1]}", "unknown key 'value'; did you mean 'values'?"),
        ("- {name: a, grid: lambda, where: b, about: c, values: [3]}", "a: values: 3 is no value of λ"),
        ("- &x {name: a, grid: lambda, where: b, about: c}\n- *x", "a is the name of two sections"),
        ("- {name: a, grid: lamda, where: b, about: c}", "unknown grid 'lamda'; did you mean 'lambda'?"),
    ],
)
def test_what_is_wrong_in_the_list_is_one_line(content: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text(f"protocol: gta-cityscapes\nsections:\n{content}\n")
    with pytest.raises(ConfigError) as error:
        read_paper(tmp_path / "list.yaml")
    assert line in str(error.value)


def test_every_grid_with_figures_of_the_paper_has_a_section_and_the_page_lists_them() -> None:
    used = {section.grid.name for section in PAPER.sections}
    with_figures = {name for name in grids() if any("2509.13801" in each.source for each in read_grid(name).published)}
    assert with_figures - used == {"ratio-by-lambda"}  # whose figures are those of ratio and lambda
    rows = [(f"`{each.name}`", f"`{each.grid.name}`", each.where, each.about) for each in PAPER.sections]
    table = table_of(("section", "grid", "in the paper", "what is asked"), rows, "github")
    assert table in (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
