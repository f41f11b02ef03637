"""Every kind of picture file is read as what it holds, or refused by name; a table of formats, modes and bit depths."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_pngs import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, orientation_note, save_png
from PIL import Image
from tiny_files import message, save_image, save_synthia

from datasets.batches.augmentation import resizing
from datasets.batches.evaluation_set import EvaluationSet
from datasets.checks.class_pixels import class_pixels
from datasets.classes.labels import GREY as GREY_LABELS
from datasets.classes.labels import SYNTHIA, SYNTHIA_IDS, LabelEncoding
from datasets.files import picture_file, reading
from datasets.files.reading import image_header, label_header, read_image, read_label, read_pair

AS_STORED = LabelEncoding.of(GREY_LABELS, {stored: stored for stored in range(254)} | {254: 255, 255: 255})
GAMMA = (b"gAMA", (20000).to_bytes(4, "big"))
RNG = np.random.default_rng(0)


def ids(bits: int, shape: tuple[int, int] = (9, 13)) -> np.ndarray:
    """All values of that many bits."""
    return (np.arange(shape[0] * shape[1]).reshape(shape) * 7 % min(2**bits, 254)).astype(np.uint8)


def colours(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, np.uint8)


# Labels


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("transparency", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("colour_type", [GREY, PALETTE])
def test_a_png_label_is_what_is_stored(
    tmp_path: Path, colour_type: int, bits: int, transparency: bool, interlaced: bool
) -> None:
    clear = b"\0\1" if colour_type == GREY else b"\0"
    chunks = (GAMMA,) if colour_type == GREY else ()  # a gamma is for the eye
    chunks += ((b"tRNS", clear),) if transparency else ()
    path = save_png(tmp_path / "a.png", ids(bits), bits, colour_type, interlaced=interlaced, before=chunks)
    assert np.array_equal(read_label(path, AS_STORED), ids(bits))
    assert label_header(path, AS_STORED)[:2] == (13, 9)


def low_tiff(path: Path, values: np.ndarray, bits: int, photometric: int, compression: int = 1) -> None:
    """A grey TIFF of `bits` bits a pixel, written out by hand, that says it is compressed by `compression`."""
    height, width = values.shape
    rows = np.packbits(((values[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1).reshape(height, -1), axis=1).tobytes()
    tags = {256: width, 257: height, 258: bits, 259: compression, 262: photometric, 273: 8, 277: 1, 278: height}
    tags[279] = len(rows)
    entries = b"".join(
        tag.to_bytes(2, "little") + (4).to_bytes(2, "little") + (1).to_bytes(4, "little") + value.to_bytes(4, "little")
        for tag, value in tags.items()
    )
    where = 8 + len(rows)
    path.write_bytes(
        b"II*\0" + where.to_bytes(4, "little") + rows + len(tags).to_bytes(2, "little") + entries + bytes(4)
    )


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_grey_tiff_label_is_what_is_stored_whichever_end_is_white(
    tmp_path: Path, bits: int, photometric: int
) -> None:
    low_tiff(tmp_path / "a.tif", ids(bits), bits, photometric)
    assert np.array_equal(read_label(tmp_path / "a.tif", AS_STORED), ids(bits))
    assert label_header(tmp_path / "a.tif", AS_STORED)[:2] == (13, 9)


def saved(mode: str, values: np.ndarray, path: Path, **settings: Any) -> Path:
    image = Image.fromarray(values)
    if mode == "P":
        image.putpalette([(7 * i + 90) % 256 for i in range(768)])
    image.save(path, **settings)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "settings"),
    [
        ("a.tif", "L", {"compression": "tiff_lzw"}),
        ("a.tif", "L", {"compression": "tiff_adobe_deflate"}),
        ("a.tif", "P", {"compression": "packbits"}),
        ("a.bmp", "L", {}),
        ("a.bmp", "P", {}),
        ("a.gif", "L", {"optimize": False}),
        ("a.gif", "P", {"optimize": False}),
        ("a.pgm", "L", {}),
        ("a.tga", "L", {}),
        ("a.tga", "P", {"compression": "tga_rle"}),
    ],
)
def test_a_label_of_another_lossless_format_is_what_is_stored(
    tmp_path: Path, name: str, mode: str, settings: dict[str, Any]
) -> None:
    path = saved(mode, ids(8, (40, 40)), tmp_path / name, **settings)
    assert np.array_equal(read_label(path, AS_STORED), ids(8, (40, 40)))
    assert label_header(path, AS_STORED)[:2] == (40, 40)


GREY_PICTURE = Image.fromarray(ids(2, (16, 16)))


@pytest.mark.parametrize(
    ("name", "save", "line"),
    [
        # by content, whatever the name
        ("a.png", lambda path: GREY_PICTURE.save(path, "JPEG", quality=100), "JPEG changes values to save space"),
        ("a.tif", lambda path: GREY_PICTURE.save(path, compression="jpeg"), "JPEG changes values"),
        ("a.tif", lambda path: low_tiff(path, ids(8), 8, 1, compression=50001), "WebP changes values"),
        ("a.jp2", lambda path: GREY_PICTURE.save(path), "JPEG 2000 changes values"),
        ("a.webp", lambda path: GREY_PICTURE.save(path, lossless=True), "WebP changes values"),
        ("a.png", lambda path: GREY_PICTURE.convert("RGB").save(path, "AVIF"), "AVIF changes values"),
        ("a.png", lambda path: save_png(path, colours(4, 4, 3), 8, RGB), "found mode RGB"),
        ("a.png", lambda path: save_png(path, colours(4, 4, 3), 16, RGB), "found mode RGB"),
        ("a.png", lambda path: save_png(path, colours(4, 4, 4), 8, RGBA), "found mode RGBA"),
        ("a.png", lambda path: save_png(path, colours(4, 4, 2), 8, GREY_ALPHA), "found mode LA"),
        ("a.png", lambda path: save_png(path, ids(8), 16, GREY), "found mode I"),
        ("a.pgm", lambda path: path.write_bytes(b"P5 2 2 15\n\0\1\2\3"), "whose values cannot be told"),
        ("a.pbm", lambda path: path.write_bytes(b"P4 8 1\n\3"), "whose values cannot be told"),
        (
            "a.png",
            lambda path: GREY_PICTURE.save(path, save_all=True, append_images=[Image.new("L", (16, 16))]),
            "holds several pictures",
        ),
        (
            "a.tif",
            lambda path: GREY_PICTURE.save(path, save_all=True, append_images=[GREY_PICTURE]),
            "holds several pictures",
        ),
    ],
)
def test_a_label_whose_values_are_no_ids_is_refused_by_its_header(
    tmp_path: Path, name: str, save: Callable[[Path], Any], line: str
) -> None:
    save(tmp_path / name)
    for read in (read_label, label_header):
        told = message(lambda read=read: read(tmp_path / name, AS_STORED))  # type: ignore[misc]
        assert told.startswith(f"{tmp_path / name}: ") and line in told and "expected " in told


def test_a_bmp_that_pillow_misreads_is_refused(tmp_path: Path) -> None:
    """Four bits, and a palette 0, 1, ... 15 of greys: Pillow takes a byte for a pixel."""
    width, rows = 8, bytes([0x01, 0x23, 0x45, 0x67]) * 4
    palette = b"".join(bytes([i, i, i, 0]) for i in range(16))
    info = b"".join(
        value.to_bytes(size, "little")
        for value, size in (
            (40, 4), (width, 4), (4, 4), (1, 2), (4, 2), (0, 4), (len(rows), 4), (0, 4), (0, 4), (16, 4), (0, 4),
        )
    )  # fmt: skip
    start = 14 + 40 + len(palette)
    head = b"BM" + (start + len(rows)).to_bytes(4, "little") + bytes(4) + start.to_bytes(4, "little")
    (tmp_path / "a.bmp").write_bytes(head + info + palette + rows)
    assert "a BMP of 4 bits with few greys" in message(lambda: read_label(tmp_path / "a.bmp", AS_STORED))
    assert "a BMP of 4 bits with few greys" in message(lambda: read_image(tmp_path / "a.bmp"))


def test_pixels_of_a_low_grey_label_are_counted_by_what_is_stored(tmp_path: Path) -> None:
    path = save_png(tmp_path / "a.png", np.array([[0, 1, 2, 3, 3]], np.uint8), 4)
    item = {"sem_seg_file_name": str(path), "label_encoding": AS_STORED}
    assert class_pixels([item], 4, cache=tmp_path).tolist() == [[1, 1, 1, 2]]


# Images


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("colour_type", [RGB, RGBA, GREY, GREY_ALPHA])
def test_a_png_image_is_its_upper_8_bits_without_alpha(
    tmp_path: Path, colour_type: int, bits: int, interlaced: bool
) -> None:
    channels = {RGB: 3, RGBA: 4, GREY: 1, GREY_ALPHA: 2}[colour_type]
    samples = RNG.integers(0, 2**bits, (9, 13, channels))
    path = save_png(tmp_path / "a.png", samples, bits, colour_type, interlaced=interlaced)
    upper = (samples >> (bits - 8)).astype(np.uint8)
    expected = upper[:, :, :3] if channels > 2 else upper[:, :, [0, 0, 0]]
    assert np.array_equal(read_image(path), expected)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_image_is_the_colours_that_it_shows(tmp_path: Path, bits: int) -> None:
    path = save_png(tmp_path / "a.png", ids(bits), bits, PALETTE, before=((b"tRNS", b"\0\x80"),))
    assert np.array_equal(read_image(path)[..., 1], ((7 * (3 * ids(bits).astype(int) + 1) + 90) % 256).astype(np.uint8))
    assert "palette" in image_header(path).note


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_low_grey_image_reaches_from_black_to_white(tmp_path: Path, bits: int) -> None:
    path = save_png(tmp_path / "a.png", ids(bits), bits, GREY)
    assert np.array_equal(read_image(path)[..., 2], ids(bits) * (255 // (2**bits - 1)))


@pytest.mark.parametrize(
    ("name", "image", "line"),
    [
        ("a.jpg", Image.new("CMYK", (4, 4)), "found mode CMYK (the colours of print)"),
        ("a.tif", Image.new("LAB", (4, 4)), "found mode LAB"),
        ("a.tif", Image.new("F", (4, 4)), "found mode F (not 8 bits a channel)"),
        ("a.tif", Image.new("I", (4, 4)), "found mode I (not 8 bits a channel)"),
        ("a.tif", Image.fromarray(np.zeros((4, 4), np.uint16)), "found mode I;16 (not 8 bits a channel)"),
        ("a.eps", Image.new("RGB", (4, 4)), "not an image"),  # would start a program
    ],
)
def test_an_image_of_another_kind_is_refused_by_its_header(
    tmp_path: Path, name: str, image: Image.Image, line: str
) -> None:
    image.save(tmp_path / name)
    for read in (read_image, image_header):
        assert line in message(lambda read=read: read(tmp_path / name))  # type: ignore[misc]


def test_a_grey_image_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_said", set())
    for name in ("a.png", "b.png"):
        save_png(tmp_path / name, ids(8), 8)
        assert np.array_equal(read_image(tmp_path / name), np.repeat(ids(8)[:, :, None], 3, axis=2))
    line = f"{tmp_path}/a.png is grey, read as RGB of three equal channels; so are others like it"
    assert [record.getMessage() for record in caplog.records] == [line]


def test_previews_beside_the_picture_do_not_count(tmp_path: Path) -> None:
    """A camera's JPEG holds its preview, an aerial TIFF smaller copies of itself."""
    pixels = colours(16, 16, 3)
    large, small = Image.fromarray(pixels), Image.fromarray(pixels[::2, ::2])
    large.save(tmp_path / "a.tif", save_all=True, append_images=[small], tiffinfo={254: 0})
    contents = bytearray((tmp_path / "a.tif").read_bytes())
    assert "several" in message(lambda: read_image(tmp_path / "a.tif"))
    second = contents.rindex(b"\xfe\0\4\0\1\0\0\0")  # NewSubfileType, one number of 32 bits
    contents[second + 8] = 1  # a smaller copy
    (tmp_path / "a.tif").write_bytes(contents)
    assert np.array_equal(read_image(tmp_path / "a.tif"), pixels)
    large.save(tmp_path / "b.jpg", "MPO", save_all=True, append_images=[small], quality=95)
    assert read_image(tmp_path / "b.jpg").shape == (16, 16, 3)


# The way up

STORED = np.arange(24, dtype=np.uint8).reshape(4, 6)
TURNED = {
    1: STORED,
    2: STORED[:, ::-1],
    3: STORED[::-1, ::-1],
    4: STORED[::-1],
    5: STORED.T,
    6: STORED[::-1].T,  # a quarter clockwise: the first column, read upwards, becomes the first row
    7: STORED[::-1, ::-1].T,
    8: STORED[:, ::-1].T,
}


def assert_shown(path: Path, expected: np.ndarray) -> None:
    """As an image, to the step of JPEG, and by its header."""
    assert image_header(path)[:2] == expected.shape[::-1]
    assert np.abs(read_image(path)[..., 0].astype(int) - expected).max() <= 3


@pytest.mark.parametrize("number", sorted(TURNED))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "lzw.tif", "a.webp"])
def test_an_image_is_read_as_it_is_shown(tmp_path: Path, name: str, number: int) -> None:
    exif = Image.Exif()
    exif[274] = number
    large = np.kron(10 * STORED, np.ones((8, 8), np.uint8))  # whole blocks of a JPEG
    settings: dict[str, Any] = {"quality": 100} if name == "a.jpg" else {}
    settings |= {"lossless": True} if name == "a.webp" else {"compression": "tiff_lzw"} if name == "lzw.tif" else {}
    Image.fromarray(np.repeat(large[:, :, None], 3, 2)).save(tmp_path / name, exif=exif, **settings)
    assert_shown(tmp_path / name, np.kron(10 * TURNED[number], np.ones((8, 8), int)))


@pytest.mark.parametrize("number", sorted(TURNED))
def test_a_label_is_turned_as_an_image_is(tmp_path: Path, number: int) -> None:
    note = ((b"eXIf", orientation_note(number)),)
    before = save_png(tmp_path / "a.png", STORED, 8, before=note)
    behind = save_png(tmp_path / "b.png", STORED, 8, behind=note)
    save_synthia(tmp_path / "c.png", STORED % 23)
    contents = (tmp_path / "c.png").read_bytes()
    whole = (tmp_path / "a.png").read_bytes()
    chunk = whole[whole.index(b"eXIf") - 4 : whole.index(b"IDAT") - 4]
    (tmp_path / "c.png").write_bytes(contents[:33] + chunk + contents[33:])
    for path in (before, behind):
        assert np.array_equal(read_label(path, AS_STORED), TURNED[number])
        assert label_header(path, AS_STORED)[:2] == TURNED[number].shape[::-1]
    synthia = LabelEncoding.of(SYNTHIA, {stored: stored for stored in range(23)})
    assert np.array_equal(read_label(tmp_path / "c.png", synthia), TURNED[number] % 23)
    assert label_header(tmp_path / "c.png", synthia)[:2] == TURNED[number].shape[::-1]


def test_a_senseless_orientation_turns_nothing(tmp_path: Path) -> None:
    for number, note in enumerate((orientation_note(0), orientation_note(9), b"II*\0junk", b"")):
        path = save_png(tmp_path / f"{number}.png", STORED, 8, before=((b"eXIf", note),))
        assert_shown(path, STORED)


def test_a_photo_that_is_stored_lying_fits_its_upright_label(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(colours(4, 6, 3)).save(tmp_path / "a.jpg", exif=exif)
    save_png(tmp_path / "a.png", np.zeros((6, 4), np.uint8), 8)
    item = {
        "file_name": str(tmp_path / "a.jpg"),
        "image_id": "a",
        "sem_seg_file_name": str(tmp_path / "a.png"),
        "label_encoding": AS_STORED,
    }
    assert read_pair(item)[0].shape == (6, 4, 3)
    assert EvaluationSet([item], None)[0]["image"].shape == (3, 6, 4)


# What may be opened at all


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # would wait for a writer
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    (tmp_path / "linked.png").symlink_to(save_image(tmp_path / "a.png"))
    for name in ("pipe.png", "endless.png"):
        for read in (read_image, image_header, lambda path: read_label(path, AS_STORED)):
            line = message(lambda read=read, name=name: read(tmp_path / name))  # type: ignore[misc]
            assert line.startswith(f"{tmp_path / name}: cannot be read (no plain file), expected ")
    assert np.array_equal(read_image(tmp_path / "linked.png"), read_image(tmp_path / "a.png"))


def test_a_sparse_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    for name, contents in (("a.png", b""), ("b.png", save_synthia(tmp_path / "s.png", [[3]]).read_bytes())):
        with (tmp_path / name).open("wb") as file:
            file.write(contents)
            file.truncate(2**40)
    assert "not an image" in message(lambda: read_image(tmp_path / "a.png"))
    assert "far larger than its pixels" in message(lambda: read_label(tmp_path / "b.png", SYNTHIA_IDS))


def test_a_picture_of_too_many_pixels_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = save_png(tmp_path / "a.png", ids(8), 8)
    line = f"{path}: 13x9 are 117 pixels, expected at most 100: cut it into smaller pictures (benchmarks/predict.py"
    for read in (read_image, image_header):
        assert message(lambda read=read: read(path, max_pixels=100)).startswith(line)  # type: ignore[misc]
        read(path, max_pixels=117)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = save_png(tmp_path / "a.png", np.zeros((1, 1), np.uint8), 1)
    contents = bytearray(path.read_bytes())
    contents[16:24] = (20000).to_bytes(4, "big") * 2
    contents[29:33] = zlib.crc32(bytes(contents[12:29])).to_bytes(4, "big")
    path.write_bytes(contents)
    assert "20000x20000 are 400,000,000 pixels" in message(lambda: read_image(path))
    assert "400,000,000 pixels" in message(lambda: read_label(path, AS_STORED))
    assert picture_file.MAX_PIXELS == 178_956_970


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "I;16"])
def test_an_image_that_is_resized_as_it_is_read_is_the_whole_one_resized(
    tmp_path: Path, mode: str, orientation: int
) -> None:
    drawn = Image.fromarray(np.random.default_rng(0).integers(0, 256, (18, 26, 3), dtype=np.uint8))
    deep = Image.fromarray(np.asarray(drawn)[..., 0].astype(np.uint16) * 256)
    image = deep if mode == "I;16" else drawn.convert(mode)
    exif = Image.Exif()
    exif[274] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    whole, seen = read_image(tmp_path / "a.png"), []

    def half(width: int, height: int) -> tuple[int, int]:
        seen.append((height, width))
        return width // 2, height // 2

    found = read_image(tmp_path / "a.png", resize=half)
    assert seen == [whole.shape[:2]]
    expected = resizing(whole.shape[1], whole.shape[0], whole.shape[1] // 2, whole.shape[0] // 2).apply_image(whole)
    assert np.array_equal(found, expected)
    assert np.array_equal(read_image(tmp_path / "a.png", resize=lambda width, height: (width, height)), whole)
