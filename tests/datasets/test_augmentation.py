"""Views: scaled, cropped and flipped images, and the draws behind them."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.base.errors import DataError
from datasets.base.framing import Framing, fitted, too_small
from datasets.base.randomness import keyed_rng
from datasets.batches.augmentation import Wanted, crop_and_flip, exceeds, largest_share, resizing


def coded(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """An image whose pixels tell their place (x in red, y in green), and a label that tells x."""
    y, x = np.mgrid[:height, :width].astype(np.uint8)
    return np.dstack([x, y, np.zeros_like(x)]), x


def apply(
    view: Framing, image: np.ndarray, label: np.ndarray | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """A random view of an image that is resized first, as files are when they are read."""
    height, width = image.shape[:2]
    resize = resizing(width, height, *view.seen(width, height))
    label = None if label is None else resize.apply_segmentation(label)
    return crop_and_flip(view, resize.apply_image(image), label, rng)


@pytest.mark.parametrize(
    ("size", "box", "expected"),
    [
        ((1914, 1052), (1280, 720), (1280, 704)),  # GTA
        ((1280, 760), (1280, 760), (1280, 760)),  # SYNTHIA
        ((2048, 1024), (1024, 512), (1024, 512)),  # Cityscapes
        ((100, 100), (300, 200), (200, 200)),
        ((1000, 1), (10, 10), (10, 1)),
    ],
)
def test_image_fits_its_box(size: tuple[int, int], box: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fitted(*size, *box) == expected


def test_image_and_label_stay_aligned() -> None:
    image, label = coded(90, 50)
    view = Framing(None, (20, 10))
    corners, flips = set(), 0
    for i in range(200):
        cropped, cropped_label = apply(view, image, label, keyed_rng(0, i))
        assert cropped_label is not None
        assert (cropped.shape, cropped_label.shape) == ((10, 20, 3), (10, 20))
        assert np.array_equal(cropped[..., 0], cropped_label)
        x, y = cropped[0, :, 0].astype(int), cropped[:, 0, 1]
        flipped = x[0] > x[-1]
        assert (np.diff(x) == (-1 if flipped else 1)).all()
        assert (np.diff(y) == 1).all()
        corners.add((min(x), y[0]))
        flips += flipped
    # 71 x 41 corners are equally likely, edges included: 200 draws reach near them and seldom meet
    assert min(c[0] for c in corners) <= 5
    assert max(c[0] for c in corners) >= 65
    assert min(c[1] for c in corners) <= 3
    assert max(c[1] for c in corners) >= 37
    assert len(corners) > 180
    assert 70 < flips < 130


def test_every_corner_is_reached() -> None:
    image, label = coded(11, 10)
    seen = {int(apply(Framing(None, (8, 10), flip=0), image, label, keyed_rng(i))[0][0, 0, 0]) for i in range(60)}
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize(("flip", "first"), [(0.0, 0), (1.0, 15)])
def test_flip_probability_is_kept_at_its_ends(flip: float, first: int) -> None:
    image, label = coded(16, 8)
    for i in range(20):
        assert apply(Framing(None, (16, 8), flip=flip), image, label, keyed_rng(i))[0][0, 0, 0] == first


def test_resize_halves_bilinearly_and_labels_to_the_nearest() -> None:
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 4:] = 200
    label = np.zeros((4, 8), np.uint8)
    label[:, 4:] = 18
    resized, resized_label = apply(Framing((4, 2), (4, 2), flip=0), image, label, keyed_rng(0))
    assert resized_label is not None
    assert resized_label.tolist() == [[0, 0, 18, 18]] * 2
    # a triangle of two output pixels' width: weights 1/8, 3/8, 3/8, 1/8 of the four pixels around, so 1/8 leaks over
    assert resized[0, :, 0].tolist() == [0, 25, 175, 200]


def test_resize_keeps_the_classes_of_labels() -> None:
    label = np.random.default_rng(0).choice([0, 7, 255], (60, 90)).astype(np.uint8)
    _, resized = apply(Framing((37, 40), (37, 24)), np.zeros((60, 90, 3), np.uint8), label, keyed_rng(0))
    assert resized is not None
    assert set(np.unique(resized)) == {0, 7, 255}


def test_equal_keys_give_equal_views_with_and_without_label() -> None:
    image, label = coded(90, 50)
    view = Framing((60, 60), (20, 20))
    for i in range(20):
        with_label, _ = apply(view, image, label, keyed_rng(1, i))
        without, none = apply(view, image, None, keyed_rng(1, i))
        assert none is None
        assert np.array_equal(with_label, without)


def test_number_of_draws_does_not_depend_on_the_label() -> None:
    image, _ = coded(90, 50)
    after = []
    for label in (None, np.zeros((50, 90), np.uint8), np.arange(4500, dtype=np.uint8).reshape(50, 90) % 19):
        rng = keyed_rng(5)
        apply(Framing(None, (20, 20), max_class_share=0.5), image, label, rng)
        after.append(rng.random())
    assert after[0] == after[1] == after[2]


def test_crop_is_drawn_again_while_a_class_fills_it() -> None:
    # Left two thirds road, then alternate columns of two classes: only crops at the right pass a share of 0.6.
    width, crop = 300, 20
    label = np.zeros((crop, width), np.uint8)
    label[:, 200:] = np.where(np.arange(100) % 2, 2, 8)
    image = np.repeat(label[..., None], 3, axis=2)
    strict, loose = Framing(None, (crop, crop), 0.0, 0.6), Framing(None, (crop, crop), 0.0)
    shares = {view: np.empty(300) for view in (strict, loose)}
    for view, found in shares.items():
        for i in range(300):
            cropped = apply(view, image, label, keyed_rng(i))[1]
            assert cropped is not None
            found[i] = max(np.mean(cropped == c) for c in (0, 2, 8))
    # One draw passes where its corner is at 192 or later (12 or fewer columns of road of 20): 89 of 281 corners.
    once = 89 / 281
    assert abs(np.mean(shares[loose] <= 0.6) - once) < 0.1
    # Eleven draws fail together with 0.683 ** 11 = 0.015.
    assert 1 - np.mean(shares[strict] <= 0.6) == pytest.approx((1 - once) ** 11, abs=0.02)


def test_crop_that_cannot_pass_is_taken_after_the_last_draw() -> None:
    image, _ = coded(90, 50)
    cropped, label = apply(Framing(None, (20, 20), 0.0, 0.5), image, np.zeros((50, 90), np.uint8), keyed_rng(0))
    assert label is not None
    u, v = keyed_rng(0).random((11, 2))[10]
    assert cropped[0, 0, :2].tolist() == [int(u * 71), int(v * 31)]


def test_wanted_means_more_than_so_many_pixels_of_the_class() -> None:
    label = np.array([[4, 4, 4, 255, 255, 0]], np.uint8)
    assert [Wanted(4, pixels).shown_by(label) for pixels in (2, 3)] == [True, False]
    assert [Wanted(5, pixels).shown_by(label) for pixels in (0, 1)] == [False, False]


def corners_of(label: np.ndarray, view: Framing, wanted: Wanted, trials: int) -> np.ndarray:
    """Left edges of the crops of a label that is as high as the crop."""
    image = np.repeat((np.arange(label.shape[1]) // 2).astype(np.uint8)[None, :, None], len(label), 0).repeat(3, 2)
    image[..., 1] = np.arange(label.shape[1]) % 2
    crops = [crop_and_flip(view, image, label, keyed_rng(i), wanted)[0][0, 0].astype(int) for i in range(trials)]
    return np.array([2 * first[0] + first[1] for first in crops])


def test_crop_is_drawn_again_while_it_lacks_the_wanted_class() -> None:
    label = np.zeros((20, 300), np.uint8)
    label[:, 280:] = 5
    found = corners_of(label, Framing(None, (20, 20), 0.0), Wanted(5, 100), 400)
    # More than 5 of 20 columns are of the class where the corner is at 266 or later: 15 of 281 corners.
    once = 15 / 281
    assert np.mean(found >= 266) == pytest.approx(1 - (1 - once) ** 11, abs=0.1)
    assert np.mean(found >= 266) > 4 * once


def test_every_crop_for_a_wanted_class_is_drawn_again_for_its_largest_share() -> None:
    # From 200 on no class fills a crop; the wanted one is in the last columns of them and, alone, in the first ones.
    label = np.zeros((20, 300), np.uint8)
    label[:, 200:] = np.where(np.arange(100) % 2, 2, 8)
    label[:, 281:] = np.where(np.arange(19) % 2, 2, 5)
    label[:, :40] = 5
    found = corners_of(label, Framing(None, (20, 20), 0.0, 0.6), Wanted(5, 99), 600)
    corners = np.arange(281)
    crops = np.stack([label[0, corner : corner + 20] for corner in corners])
    mixed = np.stack([(crops == c).sum(1) for c in (0, 2, 5, 8)]).max(0) <= 12
    wanted = (crops == 5).sum(1) >= 5
    # A crop drawn for its share is mixed unless 10 draws were not, then it is any.
    unmixed = (1 - mixed.mean()) ** 10
    once = (1 - unmixed) * wanted[mixed].mean() + unmixed * wanted.mean()
    assert 0.1 < once < 0.4
    assert np.mean(wanted[found]) == pytest.approx(1 - (1 - once) ** 11, abs=0.05)
    assert np.mean(mixed[found]) > 0.9


def test_crop_that_never_shows_the_wanted_class_is_taken_after_the_last_draw() -> None:
    image, label = coded(90, 50)
    cropped, _ = crop_and_flip(Framing(None, (20, 20), 0.0), image, label, keyed_rng(0), Wanted(200, 0))
    rng = keyed_rng(0)
    rng.random((11, 2))  # the first crop and those for its largest share
    rng.random()  # the flip
    u, v = rng.random((10, 11, 2))[-1, 0]
    assert cropped[0, 0, :2].tolist() == [int(u * 71), int(v * 31)]


def test_crop_that_shows_the_wanted_class_at_once_is_the_one_drawn_without() -> None:
    image, label = coded(90, 50)
    view = Framing(None, (80, 40))
    for i in range(20):
        plain, chosen = (crop_and_flip(view, image, label, keyed_rng(i), wanted) for wanted in (None, Wanted(45, 39)))
        assert np.array_equal(plain[0], chosen[0])
        assert np.array_equal(plain[1], chosen[1])  # type: ignore[arg-type]


def test_share_counts_labelled_pixels_only() -> None:
    assert largest_share(np.array([[255, 255, 255, 3, 3, 4]], np.uint8)) == pytest.approx(2 / 3)
    assert largest_share(np.full((2, 2), 255, np.uint8)) == 1


def test_whether_a_share_is_exceeded_is_what_all_pixels_say() -> None:
    """Labels of few classes in blocks, in stripes that every eighth pixel misses, and without labelled pixels."""
    rng = np.random.default_rng(0)
    labels = [np.full((16, 24), 255, np.uint8), np.zeros((16, 24), np.uint8)]
    for classes in (2, 3, 5):
        for _ in range(40):
            weights = rng.dirichlet(np.full(classes, 0.5))
            label = rng.choice([*range(classes - 1), 255], (16, 24), p=weights).astype(np.uint8)
            label[::8] = rng.choice([0, 1, 255])
            labels += [label, np.repeat(np.repeat(label, 5, 0), 5, 1)]
    for share in (0.5, 0.75, 0.9, 1.0):
        decided = [exceeds(label, share) for label in labels]
        assert decided == [largest_share(label) > share for label in labels]
        assert len(set(decided)) == (2 if share < 1 else 1)


def test_image_smaller_than_the_crop_names_sizes() -> None:
    told = too_small(Framing((64, 64), (64, 64)), 128, 64)
    assert told.startswith("image is 64x32 (read as 128x64), expected at least the crop, 64x64")


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"resize": (0, 5), "crop": (5, 5)}, "resize"),
        ({"resize": None, "crop": (5, -1)}, "crop"),
        ({"resize": None, "crop": (5, 5), "flip": 1.5}, "flip"),
        ({"resize": None, "crop": (5, 5), "max_class_share": 0.0}, "max_class_share"),
    ],
)
def test_view_out_of_range_names_the_key(arguments: dict, key: str) -> None:
    with pytest.raises(DataError, match=f"^{key}: expected .*found"):
        Framing(**arguments)
