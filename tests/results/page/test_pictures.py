"""The report's pictures: which images are chosen, what is drawn of them, and what is left out."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from html_page import Page
from PIL import Image
from written_runs import write_run

from results import report
from results.records.examples import IGNORED, Example, Examples, examples_folder, write_examples
from results.records.image_counts import sparse_counts, write_counts

COLORS = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
# Pixels of a 10x10 image whose label is class 0 above and 1 below, and of which so many of class 0 are taken for 2.
WRONG = {"dacs": [0, 10, 20, 30, 40], "mic": [10, 0, 25, 30, 0], "target-only": [50, 50, 50, 0, 0]}


def example(index: int, wrong: int, name: str = "image") -> Example:
    label = np.repeat(np.uint8([0, 1]), 50).reshape(10, 10)
    prediction = label.copy()
    prediction.ravel()[:wrong] = 2
    label.ravel()[99] = IGNORED
    image = np.full((10, 10, 3), 40 * index, np.uint8)
    return Example(f"{name}{index}", index, image, label, {"student": prediction})


def write_method(folder: Path, method: str, seed: int = 0, counts: bool = True, name: str = "image") -> None:
    write_run(folder, method, seed, 20.0, None, oracle=method == "target-only")
    images = [example(index, wrong, name) for index, wrong in enumerate(WRONG[method])]
    write_examples(folder, Examples([f"class{index}" for index in range(3)], COLORS, images))
    if counts:
        matrices = [np.array([[50 - wrong, 0, wrong], [0, 49, 0], [0, 0, 0]]) for wrong in WRONG[method]]
        write_counts(folder, "student", sparse_counts(matrices))


def write_methods(runs: Path, **how: bool) -> None:
    for method in WRONG:
        write_method(runs / method, method, **how)


def shown(runs: Path, *words: str, code: int = 0) -> tuple[Page, list[str], list[str]]:
    """The page, and of each shown image why it is shown and its name."""
    assert report.main([str(runs), *words, "--out", str(runs / "page.html")]) == code
    text = (runs / "page.html").read_text()
    found = re.findall(r"<h3>((?:Highest|Median|Lowest)[^<]+)</h3>\n<p class=\"note\">[^:]+: ([^<]+)</p>", text)
    return Page(text), [why for why, _ in found], [name for _, name in found]


def pixels(address: str | None) -> np.ndarray:
    assert address is not None
    return np.array(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGBA"))


def miou(wrong: int) -> float:
    """Over the two classes that an image has: what is wrong is of a third, and no union of theirs grows."""
    return 100 * (2 - wrong / 50) / 2


@pytest.mark.parametrize("counts", [True, False])
def test_images_of_the_highest_median_and_lowest_difference_are_shown(tmp_path: Path, counts: bool) -> None:
    write_methods(tmp_path, counts=counts)
    page, why, names = shown(tmp_path, "--baseline", "dacs")
    differences = [miou(mic) - miou(dacs) for dacs, mic in zip(WRONG["dacs"], WRONG["mic"], strict=True)]
    order = np.argsort(differences)[::-1]
    assert names == [f"image{index}" for index in (order[0], order[2], order[-1])] == ["image4", "image3", "image0"]
    words = {"Highest": order[0], "Median": order[2], "Lowest": order[-1]}
    assert why == [f"{word} difference to dacs: {differences[index]:+.1f}" for word, index in words.items()]
    assert f"{miou(40):.1f} mIoU, {100 * 59 / 99:.1f}% of pixels" in page.text  # of dacs on image4
    assert ("Scores are of the small pictures." in page.text) == (not counts)
    assert "5 validation images that all rows left predictions of (seed 0)" in page.text


def test_without_a_baseline_the_mean_of_rows_but_oracles_counts(tmp_path: Path) -> None:
    write_methods(tmp_path)
    _, why, names = shown(tmp_path)
    assert why == ["Highest mIoU: 95.0", "Median mIoU: 80.0", "Lowest mIoU: 70.0"]
    assert names == ["image0", "image4", "image3"]
    _, why, names = shown(tmp_path, "--where", "method=target-only")
    assert why[-1] == "Lowest mIoU: 50.0" and len(names) == 3


def test_labels_predictions_and_errors_are_drawn_in_their_colours(tmp_path: Path) -> None:
    write_methods(tmp_path)
    page, _, _ = shown(tmp_path, "--baseline", "dacs")
    image, label, prediction, errors = (pixels(each["src"]) for each in page.elements["img"][:4])
    assert len(page.elements["img"]) == 3 * (2 + 2 * len(WRONG)) and all(each["alt"] for each in page.elements["img"])
    assert abs(image[..., :3].astype(int) - 160).max() < 4
    assert label[0, 0, :3].tolist() == [250, 0, 0] and label[9, 0, :3].tolist() == [0, 250, 0]
    assert label[9, 9].tolist() == [0, 0, 0, 255]
    assert prediction[3, 9, :3].tolist() == [0, 0, 250] and prediction[4, 0, :3].tolist() == [250, 0, 0]
    wrong = np.zeros((10, 10), bool)
    wrong.ravel()[:40] = True
    assert (errors[wrong] == [213, 94, 0, 255]).all()
    assert (errors[~wrong][:-1, 3] == 0).all() and errors[9, 9].tolist() == [128, 128, 128, 255]
    assert {"class0", "class1", "class2", "no label"} <= set(re.findall(r"class\d|no label", page.text))


def test_rows_without_pictures_and_damaged_ones_are_named(tmp_path: Path) -> None:
    write_methods(tmp_path)
    write_run(tmp_path / "old", "hrda", 0, 20.0, None)
    (examples_folder(tmp_path / "mic") / "03-student.png").write_bytes(b"cut")
    (examples_folder(tmp_path / "target-only") / "index.json").write_text("{}")
    page, _, names = shown(tmp_path, "--baseline", "dacs", code=1)
    assert "No predictions on these images of hrda; target-only." in page.text
    assert "03-student.png: damaged" in page.text and "no pictures of target-only" in page.text
    assert names == ["image4", "image1", "image0"] and "Of the 4 validation images" in page.text


def test_the_seed_is_one_that_all_have_and_the_teacher_needs_its_own_predictions(tmp_path: Path) -> None:
    write_method(tmp_path / "dacs0", "dacs", 0)
    for seed in (3, 2):
        write_method(tmp_path / f"dacs{seed}", "dacs", seed)
        write_method(tmp_path / f"mic{seed}", "mic", seed)
    assert "(seed 2)" in shown(tmp_path)[0].text
    assert "No run left predictions" in shown(tmp_path, "--model", "teacher")[0].text


def test_names_of_images_and_classes_are_text(tmp_path: Path) -> None:
    write_method(tmp_path / "dacs", "dacs", name="<script>alert(1)</script>")
    page, _, _ = shown(tmp_path)
    assert len(page.elements["script"]) == 1 and "<script>alert(1)</script>0" in page.text


def test_runs_of_before_left_none(tmp_path: Path) -> None:
    write_run(tmp_path / "old", "hrda", 0, 20.0, None)
    page, why, _ = shown(tmp_path)
    assert not why and "No run left predictions to look at" in page.text and "img" not in page.elements
