"""``benchmarks/predict.py``: pictures are those of an independent prediction, and bad input ends in one line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path, PurePath

import numpy as np
import pytest
import torch
import yaml
from cityscapesscripts.helpers.labels import trainId2label
from conftest import NETWORK
from full_disk import largest_file
from PIL import Image
from rich.console import Console
from torch.nn import functional as F
from trained_runs import Command, Ended, assert_one_line, call, copied, network, streets_root, trained

import benchmarks.predict
import benchmarks.trained.opened_run
import benchmarks.trained.prediction
from benchmarks.cli.progress import Progress
from benchmarks.core.checkout import ROOT
from benchmarks.core.errors import ConfigError
from benchmarks.trained.image_files import find_images, output_names
from benchmarks.trained.prediction import input_size
from benchmarks.trained.server_files import check_names, write_server_files
from datasets.files import reading
from methods.networks import Segmentor


@pytest.fixture
def predict(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    trained()
    capfd.readouterr()
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> Ended:
        return call(benchmarks.predict, list(words), monkeypatch, capfd)

    return command


def drawn_images() -> list[Path]:
    return sorted(streets_root().glob("cityscapes/leftImg8bit/val/*/*.png"))


def noise(path: Path, width: int, height: int, seed: int = 0) -> np.ndarray:
    """Save an RGB picture with something to see and return it as it is read back."""
    coarse = np.random.default_rng(seed).integers(0, 256, (max(1, height // 8), max(1, width // 8), 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path)
    return np.array(Image.open(path).convert("RGB"))


def classes_of(segmentor: Segmentor, image: np.ndarray) -> np.ndarray:
    """The prediction of a whole image, written out: encoded, decoded, upsampled, argmax. At least 64 pixels a side."""
    height, width = image.shape[:2]
    rows, columns = (np.minimum(np.arange(max(side, 64)), side - 1) for side in (height, width))
    pixels = torch.from_numpy(image[rows][:, columns].astype(np.float32) / 255).permute(2, 0, 1)[None]
    with torch.no_grad():
        logits = segmentor.decoder(segmentor.encoder(pixels))
    full = F.interpolate(logits, pixels.shape[-2:], mode="bilinear", align_corners=False)
    return full[0].argmax(0).numpy()[:height, :width]


def assert_same_classes(found: np.ndarray, expected: np.ndarray) -> None:
    """All but a hair's breadth: another memory format sums in another order."""
    assert found.shape == expected.shape
    assert np.mean(found != expected) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["predict", "evaluate", "export"])
def test_as_a_process_from_another_folder(tmp_path: Path, name: str) -> None:
    """Beside a package of the name of ours: the checkout comes first."""
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/__init__.py").touch()
    words = [
        sys.executable,
        str(ROOT / f"benchmarks/{name}.py"),
        "--run",
        "nowhere",
        *(["a.png"] * (name == "predict")),
    ]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --run nowhere: no such folder") and len(done.stderr.splitlines()) == 1


# What is written


@pytest.mark.slow
@pytest.mark.parametrize("model", ["student", "teacher"])
def test_label_maps_and_overlays_of_images_of_any_size(predict: Command, tmp_path: Path, model: str) -> None:
    drawn = drawn_images()
    images = {path.stem: np.array(Image.open(path)) for path in drawn}
    images["photo"] = noise(tmp_path / "in/photo.jpg", 77, 45)
    images["tiny"] = noise(tmp_path / "in/tiny.png", 5, 3)
    ended = predict(
        "--run", str(trained()), "--model", model, str(drawn[0].parents[1]), "in/*.jpg", "in/tiny.png", "--output=out"
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    assert f"{len(images)} predicted: out/labels" in ended.out
    segmentor, seen = network(trained(), model), set()
    for name, image in images.items():
        labels = Image.open(tmp_path / f"out/labels/{name}.png")
        train_ids = np.array(labels)
        assert labels.mode == "P" and train_ids.dtype == np.uint8
        assert_same_classes(train_ids, classes_of(segmentor, image))
        colours = np.array([trainId2label[train_id].color for train_id in range(19)])[train_ids]
        assert (np.array(labels.convert("RGB")) == colours).all()
        blended = np.array(Image.open(tmp_path / f"out/overlays/{name}.png")).astype(float)
        assert np.abs(blended - (image.astype(float) + colours) / 2).max() <= 1
        seen |= set(np.unique(train_ids))
    assert len(seen) > 1
    assert sorted(path.name for path in (tmp_path / "out/labels").iterdir()) == sorted(f"{n}.png" for n in images)


@pytest.mark.slow
def test_the_window_and_the_size_of_the_protocol_are_used(predict: Command, tmp_path: Path) -> None:
    """TEST.WINDOW averages the logits of overlapping windows, TEST.RESIZE scales first; here both, written out."""
    run = copied(trained(), tmp_path / "run")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["TEST"] |= {"RESIZE": [128, 64], "SLIDING": True, "WINDOW": [64, 64], "STRIDE": [64, 64]}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    image = noise(tmp_path / "a.png", 256, 128, seed=3)
    assert predict("--run", str(run), "a.png", "--output", "out").code == 0
    small = np.array(Image.fromarray(image).resize((128, 64), Image.Resampling.BILINEAR))
    pixels = torch.from_numpy(small.astype(np.float32) / 255).permute(2, 0, 1)[None]
    segmentor = network(run)
    with torch.no_grad():
        halves = [segmentor.decoder(segmentor.encoder(part)) for part in (pixels[..., :64], pixels[..., 64:])]
    logits = torch.cat([F.interpolate(half, (64, 64), mode="bilinear") for half in halves], dim=-1)
    expected = F.interpolate(logits, (128, 256), mode="bilinear")[0].argmax(0).numpy()
    found = np.array(Image.open(tmp_path / "out/labels/a.png"))
    assert_same_classes(found, expected)
    assert np.mean(found != classes_of(segmentor, image)) > 1e-2  # not what the whole image gives


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((2048, 1024), (1024, 512)),  # Cityscapes: the protocol's own
        ((1024, 512), (1024, 512)),
        ((2049, 1024), (1024, 512)),  # the same aspect, to the pixel
        ((1920, 1080), (965, 543)),  # sqrt(1024 * 512 / (1920 * 1080)) = 0.50283
        ((1080, 1920), (543, 965)),
        ((1000, 1000), (724, 724)),
        ((1, 100000), (2, 228973)),
    ],
)
def test_an_image_of_another_aspect_gets_as_many_pixels(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert input_size((1024, 512), *size) == expected
    assert input_size((), *size) == ()


def test_a_photo_that_is_stored_lying_is_predicted_as_it_is_shown(predict: Command, tmp_path: Path) -> None:
    """A camera's orientation: the maps lie over the image as a viewer shows it."""
    upright = noise(tmp_path / "upright.png", 48, 96)
    exif = Image.Exif()
    exif[274] = 8
    Image.fromarray(np.rot90(upright, -1)).save(tmp_path / "turned.png", exif=exif)
    assert predict("--run", str(trained()), "upright.png", "turned.png", "--output", "out").code == 0
    for part in ("labels", "overlays"):
        expected = np.array(Image.open(tmp_path / f"out/{part}/upright.png"))
        assert expected.shape[:2] == (96, 48)
        assert np.array_equal(np.array(Image.open(tmp_path / f"out/{part}/turned.png")), expected)


def test_a_grey_photo_is_predicted_with_one_line(
    predict: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_said", set())
    grey = noise(tmp_path / "a.png", 64, 64)[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(np.repeat(grey[..., None], 3, 2)).save(tmp_path / "b.png")
    assert predict("--run", str(trained()), "a.png", "b.png").code == 0
    pictures = [np.array(Image.open(tmp_path / f"predictions/labels/{name}.png")) for name in "ab"]
    assert np.array_equal(*pictures)


@pytest.mark.slow
def test_a_larger_image_is_predicted_where_the_user_says_so(predict: Command, tmp_path: Path) -> None:
    image = noise(tmp_path / "a.png", 128, 96)
    words = ("--run", str(trained()), "a.png", "--window", "64x64")
    assert_one_line(
        predict(*words, "--max-pixels", "12287"), "a.png: 128x96 are 12,288 pixels, expected at most", "--max-pixels"
    )
    assert predict(*words, "--max-pixels", "12288").code == 0
    segmentor, total, count = network(trained()), np.zeros((19, 96, 128)), np.zeros((96, 128))
    for top in (0, 32):
        for left in (0, 32, 64):
            part = (slice(top, top + 64), slice(left, left + 64))
            pixels = torch.from_numpy(image[part].astype(np.float32) / 255).permute(2, 0, 1)[None]
            with torch.no_grad():
                logits = segmentor.decoder(segmentor.encoder(pixels))
            total[:, part[0], part[1]] += F.interpolate(logits, (64, 64), mode="bilinear")[0].numpy()
            count[part] += 1
    found = np.array(Image.open(tmp_path / "predictions/labels/a.png"))
    assert_same_classes(found, (total / count).argmax(0))
    assert np.mean(found != classes_of(segmentor, image)) > 1e-3  # not what the whole image gives
    assert_one_line(predict(*words, "--max-pixels", "0"), "--max-pixels 0: expected a number of pixels")
    assert_one_line(predict(*words[:-1], "64"), "--window is '64', expected a width and a height")


@pytest.mark.slow
def test_what_is_too_large_to_be_taken_whole_names_the_way_out(
    predict: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise(tmp_path / "a.png", 128, 96)
    monkeypatch.setattr(benchmarks.trained.prediction, "MAX_PIXELS", 12287)
    assert_one_line(
        predict("--run", str(trained()), "a.png"), "a.png: 128x96 pixels are too many at once, expected --window"
    )
    assert predict("--run", str(trained()), "a.png", "--window", "64x64").code == 0
    monkeypatch.undo()

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(benchmarks.trained.opened_run, "predict_classes", full)
    monkeypatch.chdir(tmp_path)
    assert_one_line(predict("--run", str(trained()), "a.png"), "(out of memory); --window, as 1024x1024, predicts it")


def test_a_full_disk_is_one_line_and_leaves_no_half_picture(predict: Command, tmp_path: Path) -> None:
    noise(tmp_path / "a.png", 128, 96)
    with largest_file(100):
        ended = predict("--run", str(trained()), "a.png", "--output", "out")
    assert_one_line(ended, "out/labels/a.png: cannot be written (File too large)")
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["labels"]


# Which images, and what they are called


def test_a_folder_is_taken_whole_but_for_the_results_and_each_image_once(tmp_path: Path) -> None:
    for name in ("a.png", "x/b.JPG", "x/._b.png", "x/notes.txt", "out/labels/a.png"):
        noise(tmp_path / "a.png", 4, 4) if name == "a.png" else None
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    words = [str(tmp_path / "a.png"), str(tmp_path), str(tmp_path / "**/*.png")]
    found, _ = find_images(words, left_out=tmp_path / "out")
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a.png", "x/b.JPG"]


@pytest.mark.parametrize(
    ("images", "names"),
    [
        ("/p/a.png /p/b.png", "a b"),
        ("/p/x/a.png /p/y/a.png /p/b.png", "x/a y/a b"),
        ("/p/x/a.png /p/y/a.jpg", "x/a y/a"),
        ("/p/a.png /p/a.jpg", "a.png a.jpg"),
        ("/p/x/d/a.png /p/y/d/a.png", "x/d/a y/d/a"),
        ("/p/x/A.png /p/y/a.png", "x/A y/a"),
        ("/p/a.png /p/a.jpg /p/a.png.jpg /q/b.png", None),
    ],
)
def test_equal_names_are_told_apart(images: str, names: str | None) -> None:
    paths = [Path(image) for image in images.split()]
    if names is None:
        with pytest.raises(ConfigError, match=r"a\.png"):
            output_names(paths)
    else:
        assert output_names(paths) == [PurePath(name) for name in names.split()]


def test_equal_names_do_not_overwrite_each_other(predict: Command, tmp_path: Path) -> None:
    wide, high = noise(tmp_path / "x/a.png", 40, 8), noise(tmp_path / "y/a.png", 8, 40)
    assert predict("--run", str(trained()), "x", "y").code == 0
    for folder, image in (("x", wide), ("y", high)):
        assert np.array(Image.open(tmp_path / f"predictions/labels/{folder}/a.png")).shape == image.shape[:2]


# A test server's files


@pytest.mark.slow
def test_a_split_of_cityscapes_is_written_in_label_ids(predict: Command, tmp_path: Path) -> None:
    ended = predict("--run", str(trained()), "--split", "val", "--output", "out")
    assert ended.code == 0 and "2 images of val predicted" in ended.out
    drawn, segmentor = drawn_images(), network(trained())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [path.name for path in drawn]
    for path in drawn:
        picture = Image.open(tmp_path / "out" / path.name)
        train_ids = classes_of(segmentor, np.array(Image.open(path)))
        assert picture.mode == "L"
        assert_same_classes(np.array(picture), np.vectorize(lambda i: trainId2label[i].id)(train_ids))
    assert_one_line(predict("--run", str(trained()), "--split", "test"), "leftImg8bit/test: no such folder")


def test_dark_zurich_wants_three_folders_and_acdc_train_ids(tmp_path: Path) -> None:
    logits = torch.randn(19, 6, 8, generator=torch.Generator().manual_seed(1)) * 3
    train_ids = logits.numpy().argmax(0)
    name = "GOPR0356_frame_000321_rgb_anon.png"
    write_server_files(logits, name, "dark-zurich", tmp_path / "dz")
    exponential = np.exp(logits.numpy().astype(np.float64))
    confidence = exponential.max(0) / exponential.sum(0) * 65535
    for part in ("labelTrainIds", "labelTrainIds_invalid"):
        assert (np.array(Image.open(tmp_path / "dz" / part / name)) == train_ids).all()
    stored = np.array(Image.open(tmp_path / "dz/confidence" / name))
    assert stored.dtype == np.uint16 and np.abs(stored - confidence).max() <= 0.6
    write_server_files(logits, name, "acdc", tmp_path / "acdc")
    picture = Image.open(tmp_path / "acdc" / name)
    assert picture.mode == "L" and (np.array(picture) == train_ids).all()
    with pytest.raises(ConfigError, match=name):
        check_names([name, "other.png", name])


# Which run


def test_a_run_is_found_by_its_id(predict: Command, tmp_path: Path) -> None:
    noise(tmp_path / "a.png", 16, 16)
    run = trained()
    assert predict("--run", run.name, "--runs", str(run.parents[3]), "a.png").code == 0
    assert_one_line(predict("--run", run.name, "a.png"), f"--run {run.name}: no run of this id below runs")


def test_a_folder_that_is_no_run_does_not_hide_the_run_of_its_name(predict: Command, tmp_path: Path) -> None:
    noise(tmp_path / "a.png", 16, 16)
    run, runs = trained(), str(trained().parents[3])
    (tmp_path / run.name).mkdir()
    assert predict("--run", run.name, "--runs", runs, "a.png").code == 0
    assert_one_line(predict("--run", run.name, "a.png"), f"--run {run.name}: no config.yaml there, expected a run")


def test_an_unfinished_run_is_predicted_with_what_it_has(predict: Command, tmp_path: Path) -> None:
    run = copied(trained(), tmp_path / "run")
    record = json.loads((run / "record.json").read_text())
    (run / "record.json").write_text(json.dumps(record | {"status": "running"}))
    noise(tmp_path / "a.png", 16, 16)
    ended = predict("--run", str(run), "a.png")
    assert ended.code == 0 and "run is not finished: predicting with model_final.pth" in ended.out
    (run / "model_final.pth").unlink()
    assert_one_line(predict("--run", str(run), "a.png"), "is interrupted or still running and has no checkpoint yet")


# What the user got wrong


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("", "expected images to predict, or --split, and not both"),
        ("a.png --split test", "expected images to predict, or --split, and not both"),
        ("b.png", "'b.png': no such file"),
        ("none/*.png", "'none/*.png': no such file"),
        ("empty", "'empty': holds no image"),
        ("print.jpg", "print.jpg: expected an RGB image, found mode CMYK (the colours of print)"),
        ("broken.png", "broken.png: not an image"),
        ("a.png --output a.png", "a.png/labels/a.png: cannot be written"),
        ("a.png --device nonsense", "DEVICE 'nonsense' cannot be used"),
        ("--split vall", "Cityscapes has no split 'vall'"),
        ("a.png --run nowhere", "--run nowhere: no such folder"),
        ("a.png --run empty", "--run empty: no config.yaml there"),
        ("a.png --run 0123456789ab", "no run of this id below runs"),
    ],
)
def test_what_cannot_be_predicted_is_told_in_one_line(predict: Command, tmp_path: Path, words: str, line: str) -> None:
    noise(tmp_path / "a.png", 16, 16)
    (tmp_path / "empty").mkdir()
    Image.new("CMYK", (4, 4)).save(tmp_path / "print.jpg")
    (tmp_path / "broken.png").write_bytes(b"broken")
    assert_one_line(predict("--run", str(trained()), *words.split()), line)
    assert not (tmp_path / "predictions").exists()


@pytest.mark.slow
def test_damaged_runs_are_told_in_one_line(predict: Command, tmp_path: Path) -> None:
    noise(tmp_path / "a.png", 16, 16)
    run = copied(trained(), tmp_path / "run")
    checkpoint, words = run / "model_final.pth", ("--run", str(run), "a.png")
    whole = checkpoint.read_bytes()
    with zipfile.ZipFile(checkpoint) as archive:
        tensor = max(archive.infolist(), key=lambda entry: ("data/" in entry.filename, entry.file_size))
    flipped = bytearray(whole)
    flipped[tensor.header_offset + tensor.file_size // 2] ^= 1
    checkpoint.write_bytes(flipped)  # torch.load takes it without a word
    assert_one_line(predict(*words), "model_final.pth: damaged in", "data/")
    checkpoint.write_bytes(whole[: len(whole) // 2])
    assert_one_line(predict(*words), "model_final.pth: cut short")
    content = torch.load(io.BytesIO(whole), weights_only=True)
    content["model"].popitem()
    torch.save(content, checkpoint)
    assert_one_line(predict(*words), f"does not fit {NETWORK}: 1 missing: decoder.classifier.bias")
    del content["teacher"]
    torch.save(content, checkpoint)
    assert_one_line(predict(*words, "--model", "teacher"), "holds no teacher (method dacs)")
    (run / "config.yaml").write_text("NETWORK: [")
    assert_one_line(predict(*words), "config.yaml")
    (run / "config.yaml").write_text("NETWROK: daformer-lite0")
    assert_one_line(predict(*words), "config.yaml", "NETWROK")
    (run / "config.yaml").write_text("METHOD: dacs\nHRDA: {ENABLED: true, CONTEXT_SCALE: 0.0}")
    assert_one_line(predict(*words), "config.yaml: HRDA.CONTEXT_SCALE is 0.0, expected one over a whole number")


@pytest.mark.slow
def test_a_window_that_the_network_does_not_take_is_told_in_one_line(predict: Command, tmp_path: Path) -> None:
    run = copied(trained("dacs", "daformer-lite0"), tmp_path / "run")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["TEST"] |= {"SLIDING": True, "WINDOW": [4, 4]}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    noise(tmp_path / "a.png", 128, 64)
    line = "image of 128x64, TEST.WINDOW (or the crop) 4x4: daformer-lite0 cannot be run on it (Calculated padded input"
    assert_one_line(predict("--run", str(run), "a.png"), line)
    assert_one_line(predict("--run", str(run), "--split", "val"), line)
    assert not (tmp_path / "predictions").exists()


# Progress


def test_progress_is_a_line_every_ten_seconds_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    out = io.StringIO()
    with Progress("predicting", 10, "images", console=Console(file=out, width=100)) as progress:
        for seconds in (30.0, 2.0, 2.0, 7.0):  # the first one pays for the start
            now += seconds
            progress.advance()
    assert out.getvalue().splitlines() == [
        "predicting  1/10 images  time left -",
        "predicting  4/10 images  time left 0:22",  # 11 s for three: six more
    ]
