"""What every plot has: colours that are a method's own, sizes of a paper, and files that hold their fonts."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.figure import Figure
from PIL import Image

from results.files.errors import ResultsError
from results.plots.files import FORMATS, read_formats, write_figure
from results.plots.style import COLUMN, GREY, PAGE, PALETTE, looks, new_figure, plain, styled

SVG = "{http://www.w3.org/2000/svg}"
METHODS = ["dacs+mrm", "source-only", "dacs", "daformer", "hrda", "dacs+mic", "dacs+mrm-input", "dacs+mic+mrm"]


@styled()
def example(title: str = "mean ± deviation of λ") -> Figure:
    figure = new_figure()
    axes = figure.add_subplot()
    axes.errorbar([1, 2], [3.0, 4.0], yerr=[0.5, 0.25], label="measured")
    axes.axhspan(3.1, 3.2, label="band")
    axes.legend()
    axes.set_title(title)
    return figure


def test_a_method_has_one_look_in_all_plots() -> None:
    known = looks(METHODS)
    assert len(set(known.values())) == len(METHODS)
    assert {known[name].color for name in METHODS} == {GREY, *PALETTE}
    for name in METHODS:
        assert looks([name])[name] == known[name]
    others = [f"mine-{index}" for index in range(20)]
    assert len(set(looks([*METHODS, *others]).values())) == len(METHODS) + 20
    assert looks(["mine-3"])["mine-3"] == looks(["mine-3", "dacs"])["mine-3"]
    assert len(looks(map(str, range(60)))) == 60  # more than there are: some repeat


def test_files_have_the_width_of_a_column_and_their_fonts(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    paths = write_figure(example(), tmp_path / "a.b")
    assert [path.name for path in paths] == ["a.b.png", "a.b.pdf", "a.b.svg"] and set(paths) == set(tmp_path.iterdir())
    assert dict(matplotlib.rcParams) == before
    with Image.open(paths[0]) as image:
        assert image.format == "PNG" and image.width == COLUMN * 300
        assert len(image.convert("L").getcolors() or ()) > 10  # something is on it
    pdf = paths[1].read_bytes()
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", pdf)
    assert box is not None and float(box[1]) == pytest.approx(72 * COLUMN, abs=0.1)
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"CreationDate" not in pdf
    root = ElementTree.parse(paths[2]).getroot()
    assert root.tag == f"{SVG}svg" and root.get("width") == f"{72 * COLUMN:g}pt"
    assert not list(root.iter(f"{SVG}text")) and len(list(root.iter(f"{SVG}path"))) > 20  # letters are paths


def test_equal_figures_are_equal_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [path.read_bytes() for path in write_figure(example(), tmp_path / "a")]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")  # another day
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 20.0)  # another user's settings
    monkeypatch.setitem(matplotlib.rcParams, "pdf.fonttype", 3)
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "red")
    assert [path.read_bytes() for path in write_figure(example(), tmp_path / "b")] == first
    assert [path.read_bytes() for path in write_figure(example("another"), tmp_path / "c")] != first


def test_letters_are_of_a_size_that_is_read() -> None:
    axes = example().axes[0]
    texts = [axes.title, axes.xaxis.label, *axes.get_xticklabels(), *axes.get_legend().get_texts()]
    assert {text.get_fontsize() for text in texts} == {8.0, 7.0}


def test_some_formats_alone(tmp_path: Path) -> None:
    assert [path.name for path in write_figure(example(), tmp_path / "a", read_formats("svg, PNG,svg"))] == [
        "a.svg",
        "a.png",
    ]
    assert read_formats(",".join(FORMATS)) == FORMATS
    for wrong in ("", "gif", "png,jpg"):
        with pytest.raises(ResultsError, match=f"--plots is '{wrong}', expected some of png,pdf,svg"):
            read_formats(wrong)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").mkdir()
    with pytest.raises(OSError):
        write_figure(example(), tmp_path / "a", ["pdf"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.pdf"]


def test_a_page_is_a_page_and_dollars_are_dollars() -> None:
    with styled():
        assert new_figure(PAGE).get_size_inches().tolist() == [PAGE, pytest.approx(4.6)]
        assert new_figure(COLUMN, 5.0).get_size_inches().tolist() == [COLUMN, 5.0]
    assert plain("$1 and $2") == r"\$1 and \$2"
