"""Published figures: what ships is right and names what exists, and a broken file is told by its line."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest

from benchmarks.config.protocol_file import protocols
from datasets.classes.label_space import CITYSCAPES
from methods.framework.recipes import parse
from methods.framework.shipped import import_methods
from methods.networks import NETWORKS
from results.files.errors import ResultsError
from results.records.published import FILE, Names, read_published, read_published_classes

import_methods()

HEAD = "method,network,protocol,classes,miou,source\n"
CLASSES_HEAD = "method,network,protocol,classes,source,road,sky\n"


def test_figures_of_the_papers() -> None:
    figures = read_published()
    by_hand = {
        ("dacs", "deeplabv2-r101", "gta-cityscapes", 19): 52.1,
        ("dacs+mrm-input", "deeplabv2-r101", "gta-cityscapes", 19): 54.0,
        ("dacs+mrm", "deeplabv2-r101", "gta-cityscapes", 19): 55.9,
        ("hrda+mic+mrm", "daformer-mitb5", "gta-cityscapes", 19): 77.5,
        ("dacs+mrm", "deeplabv2-r101", "synthia-cityscapes", 16): 55.8,
        ("hrda+mic+mrm", "daformer-mitb5", "synthia-cityscapes", 16): 68.1,
    }
    assert {names: figures[Names(*names)].miou for names in by_hand} == by_hand
    assert "Table 6" in figures[Names("dacs+mrm", "deeplabv2-r101", "gta-cityscapes", 19)].source


def test_every_figure_names_what_can_be_run() -> None:
    for names in read_published():
        assert parse(names.method).name == names.method
        assert names.network in NETWORKS and names.protocol in protocols()
        assert names.classes == (16 if names.protocol.startswith("synthia") else 19)


def test_columns_in_another_order_are_read(tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_text('source,miou,classes,protocol,network,method\n"A, B",1.5,19,p,n,dacs\n')
    assert read_published(path) == {("dacs", "n", "p", 19): (1.5, "A, B", {})}
    path.write_text("method,network,protocol,classes,miou,source,crop,batch\ndacs,n,p,19,1.5,x,9x9,\n")
    assert read_published(path)[Names("dacs", "n", "p", 19)].setting == {"crop": "9x9"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEAD.replace("miou", "mIoU"), "columns are classes, mIoU, method"),
        ("", "columns are , expected method"),
        (HEAD + "dacs,n,p,19,fifty,x\n", "line 2: miou is 'fifty', expected a percentage"),
        (HEAD + "dacs,n,p,19,50,x\ndacs,n,p,19.5,51,x\n", "line 3: classes is '19.5', expected a number of"),
        (HEAD + "dacs,n,p,19,0.5e3,x\n", "line 2: miou is '0.5e3', expected a percentage"),
        (HEAD + "dacs,n,p,19,nan,x\n", "line 2: miou is 'nan', expected a percentage"),
        (HEAD + "dacs,n,p,0,50,x\n", "line 2: classes is '0', expected a number of classes"),
        (HEAD + "dacs,n,p,19,50,x,y\n", "line 2: more values than columns, expected 6"),
        (HEAD.replace("source", "source,miou"), "columns are method, network, protocol, classes, miou, source, miou"),
        (HEAD + "dacs,n,p,19,50,\n", "line 2: source is empty, expected where it was published"),
        (HEAD + "dacs,n,p,19\n", "line 2: miou is empty"),
        (HEAD + "dacs,n,p,19,50,x\ndacs,n,p,19,51,y\n", "line 3: a second figure of dacs, n, p, 19, expected one"),
    ],
)
def test_a_broken_file_is_told_by_its_line(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "published.csv"
    path.write_text(text)
    with pytest.raises(ResultsError) as caught:
        read_published(path)
    assert str(caught.value).startswith(f"{path}: ") and line in str(caught.value)


def test_class_figures_of_the_papers() -> None:
    """By hand, and against the mIoU: each class is rounded to 0.1, and so is the mIoU; their mean is off by that."""
    classes, figures = read_published_classes(), read_published()
    daformer = classes[Names("daformer", "daformer-mitb5", "gta-cityscapes", 19)]
    by_hand = {"road": 95.7, "wall": 53.5, "fence": 48.1, "train": 65.1, "bicycle": 61.8}
    assert {name: daformer.iou[name] for name in by_hand} == by_hand
    assert "SeCo" in daformer.source
    partial = set()
    for names, figure in classes.items():
        assert names in figures and set(figure.iou) <= set(CITYSCAPES.names), names
        if len(figure.iou) < names.classes:
            partial.add((names.method, names.classes - len(figure.iou)))
            continue
        assert fmean(figure.iou.values()) == pytest.approx(figures[names].miou, abs=0.05 + 0.05), names
    assert partial == {("dacs+mic", 1)}  # of VFM-UDA, whose bicycle could not be read
    synthia = classes[Names("daformer", "daformer-mitb5", "synthia-cityscapes", 16)].iou
    assert set(CITYSCAPES.names) - set(synthia) == {"terrain", "truck", "train"}  # SYNTHIA has no labels of them


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("method,network,protocol,source,road\n", "columns are method, network, protocol, road, source, expected"),
        (CLASSES_HEAD + "dacs,n,p,2,x,50,sky\n", "line 2: sky is 'sky', expected a percentage"),
        (CLASSES_HEAD + "dacs,n,p,2,x,50,101\n", "line 2: sky is '101', expected a percentage"),
        (CLASSES_HEAD + "dacs,n,p,2,,50,60\n", "line 2: source is empty, expected where it was published"),
        (CLASSES_HEAD + "dacs,n,p,2,x,,\n", "line 2: IoU of 0 classes, expected 1 to 2"),
        (CLASSES_HEAD + "dacs,n,p,1,x,50,60\n", "line 2: IoU of 2 classes, expected 1 to 1"),
        (CLASSES_HEAD + "dacs,n,p,2,x,5,6\ndacs,n,p,2,y,5,6\n", "line 3: a second figure of dacs, n, p, 2"),
    ],
)
def test_a_broken_file_of_classes_is_told_by_its_line(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "classes.csv"
    path.write_text(text)
    with pytest.raises(ResultsError) as caught:
        read_published_classes(path)
    assert str(caught.value).startswith(f"{path}: ") and line in str(caught.value)


def test_a_class_may_be_unknown(tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    path.write_text(CLASSES_HEAD + "dacs,n,p,2,x,,0\n")
    assert read_published_classes(path) == {("dacs", "n", "p", 2): ({"sky": 0.0}, "x")}


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="expected a CSV file of published figures"):
        read_published(tmp_path / "nowhere.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ResultsError, match="expected a CSV file of published figures"):
        read_published(tmp_path / "binary.csv")
    assert FILE.is_file()
