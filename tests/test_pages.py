"""README and docs: links lead somewhere, and what a code block says to run is there, with the options it is given."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from page_commands import blocks, broken_links, commands, faults, pages
from page_runs import Stage, execute, make_stage, page_words, protocol_of, yaml_blocks

from ablations.sweep.expand import expand
from ablations.sweep.grid import read_grid
from benchmarks.config.spec import RunSpec
from benchmarks.core.checkout import ROOT
from slurm.jobs.profile import read_profile


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_commands_of_a_page(page: Path) -> None:
    assert broken_links(page) == []
    assert faults(page.read_text(encoding="utf-8")) == []


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return make_stage(tmp_path_factory.mktemp("stage") / "stage")


WITH_COMMANDS = [page for page in pages() if list(page_words(page.read_text("utf-8")))]
WITH_COMMANDS.remove(ROOT / "docs/extend.md")  # has a test of its own, which looks at what they leave


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_run(page: Path, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = list(page_words(page.read_text(encoding="utf-8")))
    there = stage.copy(tmp_path / "stage")
    monkeypatch.chdir(there.folder)
    for words in written:
        execute(words, there)


def test_yaml_that_pages_show_is_what_commands_read(tmp_path: Path) -> None:
    for i, text in enumerate(yaml_blocks("docs/ablations.md")):
        (tmp_path / f"{i}.yaml").write_text(text if "title:" in text else f"title: shown\n{text}")
        rows = expand(read_grid(str(tmp_path / f"{i}.yaml")), "gta-cityscapes", None, None, [0], {}, tmp_path)
        assert len(rows) >= 3
    keys, folders, registered, several = yaml_blocks("docs/own_data.md")
    sources = []
    for parts in ([keys, folders], [keys, folders, registered], [keys, folders, several]):
        cfg = RunSpec(str(protocol_of(parts, tmp_path)), "dacs").resolve()
        assert cfg.DATA.CLASSES == ("ground", "structure", "sky", "traffic")
        sources.append((cfg.DATA.SOURCE.NAME, cfg.DATA.SOURCE.FOLDER, cfg.DATA.SOURCE_2.FOLDER))
    assert sources == [("", "game", ""), ("my_game_train", "", ""), ("", "game", "other")]
    for page in ("docs/cluster.md", "docs/several_gpus.md"):
        for text in yaml_blocks(page):
            read_profile(yaml.safe_load(text), page)


def test_every_page_is_looked_at() -> None:
    names = {page.name for page in pages()}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config.md", "cluster.md", "index.md"} <= names
    shell = [block.text for page in pages() for block in blocks(page.read_text("utf-8")) if block.language == "bash"]
    assert sum(len(list(commands(text))) for text in shell) > 40


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a --b c # d\n", [["a", "--b", "c"]]),
        ("a && b c; d\n", [["a"], ["b", "c"], ["d"]]),
        ("a \\\n    --b 'c d'\n", [["a", "--b", "c d"]]),
        ("for x in y z; do\n    a $x --b\ndone\n", [["a", "$x", "--b"]]),
        ("a --b 2 -- \\\n  c --d\n", [["a", "--b", "2"], ["c", "--d"]]),
    ],
)
def test_commands_of_a_shell_text(text: str, words: list[list[str]]) -> None:
    assert list(commands(text)) == words


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (".venv/bin/python benchmarks/run.py --methods dacs --seeds 0 SOLVER.ITERS 5", None),
        (".venv/bin/python benchmarks/runs.py", "no such script"),
        (".venv/bin/python -m benchmarks.no_such", "no such script"),
        (".venv/bin/python benchmarks/run.py --method dacs", "--help knows no --method"),
        (".venv/bin/python benchmarks/status.py resubmit --time 1:00:00", None),
        (".venv/bin/python benchmarks/status.py --profil=my.yaml", "--help knows no --profil"),
        (".venv/bin/python benchmarks/run.py --methods dacs SOLVER.ITERATIONS 5", "no such key: SOLVER.ITERATIONS"),
        (".venv/bin/python benchmarks/run.py --methods dacs,no-such", "unknown method"),
        (".venv/bin/python benchmarks/run.py --methods dacs --network no-such", "unknown network"),
        (".venv/bin/python benchmarks/run.py --methods dacs --protocol no-such", "unknown protocol"),
        ("curl address", "curl is no command of ours"),
    ],
)
def test_what_is_wrong_with_a_command_is_found(line: str, fault: str | None) -> None:
    found = faults(f"Text.\n\n```bash\n{line}  # comment\n```\n")
    assert found == [] if fault is None else len(found) == 1 and fault in found[0]


def test_what_is_not_checked_is_said_in_place_and_is_there() -> None:
    block = "```bash\ncurl address && .venv/bin/python benchmarks/no.py\n```\n"
    assert len(faults(block)) == 2
    (left,) = faults(f"<!-- not checked: curl; it needs a network -->\n{block}")
    assert "no such script" in left
    (stale,) = faults("<!-- not checked: curl; it needs a network -->\n```bash\npython3 -m benchmarks.install\n```\n")
    assert stale.startswith("curl: said to be not checked")


def test_inline_commands_and_other_languages_are_looked_at() -> None:
    assert faults("Then `.venv/bin/python benchmarks/no.py --x` it.\n") != []
    assert faults("```yaml\na: [1\n```\n") != [] and faults("```python\ndef\n```\n") != []
    assert faults("```yaml\na: [1]\n```\n\n```\nfree text\n```\n") == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# One (`two`) three\n\n```\n# no heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](gone.md) [c](there.md#one-two-three) ![d](there.md#no-heading) [e](https://f.g)\n"
        "```\n[in a block](gone-too.md)\n```\n"
    )
    assert broken_links(page) == ["gone.md: leads to nothing", "there.md#no-heading: no such heading"]
