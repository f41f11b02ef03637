"""mIoU: against cityscapesscripts' own evaluation of files, against sums by hand, and what scoring leaves behind."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official
from cityscapesscripts.helpers.labels import trainId2label
from PIL import Image
from torch import nn

from benchmarks.config.label_space import Scoring
from benchmarks.config.metrics import intersection_over_union, mean_iou
from benchmarks.evaluation.evaluator import (
    Evaluated,
    SegmentationEvaluator,
    confusion_matrix,
    evaluate,
    evaluate_all,
)
from datasets.base.errors import DataError
from datasets.batches.evaluation_set import EvaluationSet
from datasets.classes.label_space import CITYSCAPES, own_space
from datasets.sets.layouts import LAYOUTS
from methods.networks import Encoder, Segmentor
from methods.parts.teacher import Teacher

CLASS_NAMES, CLASS_SETS = CITYSCAPES.names, CITYSCAPES.class_sets
K = len(CLASS_NAMES)
ALL = Scoring(CITYSCAPES, (19,))
CPU = torch.device("cpu")
TRAIN, RIDER, TRUCK, BUS = (CLASS_NAMES.index(name) for name in ("train", "rider", "truck", "bus"))
VOID_IDS = (0, 1, 4, 6, 10, 15, 29)  # label ids that the evaluation ignores
LABEL_ID = {train_id: trainId2label[train_id].id for train_id in range(K)}


def flat(found: Evaluated) -> dict[str, float]:
    """Scores as metrics.json names them, and the pixels of each class."""
    return found.scores.scalars() | {f"pixels-{name}": count for name, count in found.labelled_pixels.items()}


class Blank(Encoder):
    """An encoder that hands the images on: an image's colours are then the features."""

    def __init__(self) -> None:
        super().__init__()
        self.channels, self.strides = (3,), (1,)
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        self.sizes.append(tuple(images.shape))
        return [images]


class ReadsRed(nn.Module):
    """Predicts the train id that is written into the red channel."""

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        ids = (features[0][:, 0] * 255).round().long()
        return nn.functional.one_hot(ids, K).permute(0, 3, 1, 2).float()


class Fixed(nn.Module):
    """The same logits for each image, (1, K, h, w)."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        return self.logits


def segmentor_of(decoder: nn.Module) -> Segmentor:
    return Segmentor("fake", Blank(), decoder)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def write_image(root: Path, number: int, label_ids: np.ndarray, predicted: np.ndarray) -> tuple[Path, Path]:
    """A Cityscapes validation image that holds its prediction, its label, and the prediction in label ids."""
    stem = f"aachen/aachen_{number:06d}_000019"
    label = root / f"gtFine/val/{stem}_gtFine_labelIds.png"
    prediction = root / f"predictions/{stem}_prediction.png"
    save(root / f"leftImg8bit/val/{stem}_leftImg8bit.png", np.stack([predicted] * 3, axis=-1))
    save(label, label_ids)
    save(prediction, np.vectorize(LABEL_ID.__getitem__)(predicted))
    return label, prediction


def scanned(root: Path, resize: tuple[int, int] | None = None) -> EvaluationSet:
    return EvaluationSet(LAYOUTS["cityscapes"].scan(root, "val", labelled=True), resize)


def official_scores(labels: list[Path], predictions: list[Path]) -> dict[str, Any]:
    """What cityscapesscripts computes of the same files; scores in [0, 1]."""
    settings = copy.copy(official.args)
    settings.evalInstLevelScore, settings.JSONOutput, settings.quiet = False, False, True
    return official.evaluateImgLists([str(path) for path in predictions], [str(path) for path in labels], settings)


def draw(rng: np.random.Generator, labelled: list[int], predicted: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Label ids, a seventh of them ignored, and a prediction that is right on about half of the pixels; 40 x 30."""
    train_ids = rng.choice(labelled, (30, 40))
    wrong = rng.choice(predicted, (30, 40))
    guess = np.where((rng.random((30, 40)) < 0.5) & np.isin(train_ids, predicted), train_ids, wrong)
    ids = np.vectorize(LABEL_ID.__getitem__)(train_ids)
    return np.where(rng.random((30, 40)) < 1 / 7, rng.choice(VOID_IDS, (30, 40)), ids), guess


def assert_same_scores(ours: dict[str, float], theirs: dict[str, Any]) -> None:
    for name in CLASS_NAMES:
        expected = 100 * theirs["classScores"][name]
        assert ours[f"IoU-{name}"] == expected or (math.isnan(ours[f"IoU-{name}"]) and math.isnan(expected)), name
    # The mean of the same 19 numbers, summed in another order.
    assert ours["mIoU"] == pytest.approx(100 * theirs["averageScoreClasses"], rel=1e-14)


def test_scores_are_those_of_cityscapesscripts_on_the_same_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    pairs = [write_image(tmp_path, number, *draw(rng, [*range(K)], [*range(K)])) for number in range(3)]
    ours = flat(evaluate(segmentor_of(ReadsRed()), scanned(tmp_path), ALL, CPU, workers=0))
    theirs = official_scores(*map(list, zip(*pairs, strict=True)))
    assert len({round(ours[f"IoU-{name}"], 6) for name in CLASS_NAMES}) == K  # a swap of two classes would show
    assert_same_scores(ours, theirs)


def test_absent_and_only_predicted_classes_have_the_iou_of_cityscapesscripts(tmp_path: Path) -> None:
    """No train anywhere: no IoU. Riders and trucks predicted, never labelled: IoU 0. None is in our mean.

    cityscapesscripts has the latter in its mean, where another method that predicts none has a mean of fewer classes.
    Pixels predicted as bus lie on ignored pixels only, and no bus is labelled: absent, too.
    """
    rng = np.random.default_rng(1)
    labelled = [c for c in range(K) if c not in (TRAIN, RIDER, TRUCK, BUS)]
    pairs = []
    for number in range(2):
        label_ids, predicted = draw(rng, labelled, [*labelled, RIDER, TRUCK])
        predicted[np.isin(label_ids, VOID_IDS)] = BUS
        pairs.append(write_image(tmp_path, number, label_ids, predicted))
    ours = flat(evaluate(segmentor_of(ReadsRed()), scanned(tmp_path), ALL, CPU, workers=0))
    assert math.isnan(ours["IoU-train"]) and math.isnan(ours["IoU-bus"])
    assert ours["IoU-rider"] == 0 and ours["IoU-truck"] == 0
    counted = [ours[f"IoU-{CLASS_NAMES[c]}"] for c in labelled]
    assert ours["mIoU"] == pytest.approx(sum(counted) / 15)
    theirs = official_scores(*map(list, zip(*pairs, strict=True)))
    assert_same_scores(ours | {"mIoU": 100 * theirs["averageScoreClasses"]}, theirs)


def test_one_image_and_a_perfect_prediction(tmp_path: Path) -> None:
    truth = np.arange(40).reshape(5, 8) % K
    write_image(tmp_path, 0, np.vectorize(LABEL_ID.__getitem__)(truth), truth)
    scores = flat(evaluate(segmentor_of(ReadsRed()), scanned(tmp_path), ALL, CPU, workers=0))
    found = {name: score for name, score in scores.items() if not name.startswith("pixels-")}
    assert found == {"mIoU": 100.0, "mIoU-19": 100.0, **{f"IoU-{name}": 100.0 for name in CLASS_NAMES}}
    assert next(iter(scores)) == "mIoU"


def bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(K, h, w) -> (K, height, width), pixel centres at half integers, edges repeated; one axis after the other."""

    def weights(old: int, new: int) -> np.ndarray:
        matrix = np.zeros((new, old))
        for i in range(new):
            at = (i + 0.5) * old / new - 0.5
            low = math.floor(at)
            for j, share in ((low, 1 - (at - low)), (low + 1, at - low)):
                matrix[i, min(max(j, 0), old - 1)] += share
        return matrix

    return weights(image.shape[1], height) @ image @ weights(image.shape[2], width).T


def test_the_prediction_is_upsampled_to_the_label_and_not_the_label_shrunk(tmp_path: Path) -> None:
    """Label 96 x 64, network's input 48 x 32 (TEST.RESIZE), logits 12 x 8: counted over the label's 96 x 64 pixels."""
    rng = np.random.default_rng(2)
    truth = rng.integers(0, K, (64, 96))
    write_image(tmp_path, 0, np.vectorize(LABEL_ID.__getitem__)(truth), truth)
    logits = torch.randn(1, K, 8, 12, generator=torch.Generator().manual_seed(3))
    segmentor = segmentor_of(Fixed(logits))
    dataset = scanned(tmp_path, resize=(48, 32))

    evaluator = SegmentationEvaluator(ALL)
    image = dataset[0]
    assert image["image"].shape == (3, 32, 48) and image["label"].shape == (64, 96)
    scores = flat(evaluate(segmentor, dataset, ALL, CPU, workers=0))
    assert isinstance(segmentor.encoder, Blank) and segmentor.encoder.sizes == [(1, 3, 32, 48)]

    at_image = bilinear(logits[0].double().numpy(), 32, 48)  # the image's size first
    predicted = bilinear(at_image, 64, 96).argmax(0)
    expected = np.zeros((K, K), np.int64)
    for label, guess in zip(truth.ravel(), predicted.ravel(), strict=True):
        expected[label, guess] += 1
    assert expected.sum() == 64 * 96
    upsampled = Segmentor.upsample(Segmentor.upsample(logits, (32, 48)), (64, 96))[0]
    evaluator.process([image], [{"classes": upsampled.argmax(0)}])
    np.testing.assert_array_equal(evaluator.confusion, expected)
    hits = expected.diagonal()
    iou = 100 * hits / (expected.sum(0) + expected.sum(1) - hits)
    assert [scores[f"IoU-{name}"] for name in CLASS_NAMES] == pytest.approx(iou)


def test_confusion_matrix_counts_rows_of_labels_and_leaves_ignored_pixels_out() -> None:
    label = torch.tensor([[0, 0, 255, 18], [18, 255, 5, 5]], dtype=torch.uint8)
    prediction = torch.tensor([[0, 1, 0, 18], [0, 18, 5, 18]], dtype=torch.uint8)
    expected = np.zeros((K, K), np.int64)
    for row, column in ((0, 0), (0, 1), (18, 18), (18, 0), (5, 5), (5, 18)):
        expected[row, column] = 1
    np.testing.assert_array_equal(confusion_matrix(label, prediction, K), expected)


@pytest.mark.parametrize("classes", [2, 19, 254])
def test_confusion_matrix_is_numpys_count_of_pairs(classes: int) -> None:
    """Of as many classes as a byte holds, too: no product of label and number of classes wraps around."""
    random = np.random.default_rng(5)
    label = random.choice([*range(classes), 255], (50, 70)).astype(np.uint8)
    prediction = random.integers(0, classes, (50, 70), dtype=np.uint8)
    counted = label != 255
    pairs = label[counted].astype(np.int64) * classes + prediction[counted]
    found = confusion_matrix(torch.from_numpy(label), torch.from_numpy(prediction), classes)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, np.bincount(pairs, minlength=classes**2).reshape(classes, classes))


def test_mean_over_19_16_and_13_classes_by_hand() -> None:
    """Each class has 8 hits; the ones below also lose pixels, which makes IoU 8 / (8 + lost)."""
    confusion = np.diag(np.full(K, 8))
    wall, pole, terrain = (CLASS_NAMES.index(name) for name in ("wall", "pole", "terrain"))
    road, sky = CLASS_NAMES.index("road"), CLASS_NAMES.index("sky")
    confusion[wall, pole] = 8  # wall 8 / 16, pole 8 / 16
    confusion[terrain, road] = 24  # terrain 8 / 32, road 8 / 32: road counts in all sets, and terrain's pixels with it
    confusion[TRAIN] = confusion[:, TRAIN] = 0  # absent
    iou = intersection_over_union(confusion)
    assert (iou[wall], iou[pole], iou[terrain], iou[road], iou[sky]) == (0.5, 0.5, 0.25, 0.25, 1.0)
    assert np.isnan(iou[TRAIN])
    # 19: 18 occur, 14 of them at 1. 16: without terrain, truck, train. 13: without wall, fence and pole besides.
    assert mean_iou(confusion, CLASS_SETS[19]) == pytest.approx((14 + 0.5 + 0.5 + 0.25 + 0.25) / 18)
    assert mean_iou(confusion, CLASS_SETS[16]) == pytest.approx((13 + 0.5 + 0.5 + 0.25) / 16)
    assert mean_iou(confusion, CLASS_SETS[13]) == pytest.approx((12 + 0.25) / 13)


def test_every_class_set_is_scored_at_once_and_the_first_is_the_headline(tmp_path: Path) -> None:
    """Against cityscapesscripts' IoU of each class, averaged over the names that the papers' class sets leave."""
    rng = np.random.default_rng(4)
    label, prediction = write_image(tmp_path, 0, *draw(rng, [*range(K)], [*range(K)]))
    official_iou = official_scores([label], [prediction])["classScores"]
    iou = {name: 100 * official_iou[name] for name in CLASS_NAMES}
    absent = ("terrain", "truck", "train")
    expected = {}
    for n, left_out in ((16, absent), (13, (*absent, "wall", "fence", "pole"))):
        kept = [iou[name] for name in CLASS_NAMES if name not in left_out]
        assert len(kept) == n
        expected[n] = sum(kept) / n
    for sets in ((16, 13), (13, 16)):
        scoring = Scoring(CITYSCAPES, sets)
        scores = flat(evaluate(segmentor_of(ReadsRed()), scanned(tmp_path), scoring, CPU, workers=0))
        assert list(scores)[:3] == ["mIoU", f"mIoU-{sets[0]}", f"mIoU-{sets[1]}"]
        assert scores["mIoU"] == scores[f"mIoU-{sets[0]}"]
        assert [scores["mIoU-16"], scores["mIoU-13"]] == pytest.approx([expected[16], expected[13]])
        assert {name: scores[f"IoU-{name}"] for name in CLASS_NAMES} == pytest.approx(iou)


def test_own_classes_are_scored_by_their_names() -> None:
    space = own_space(("ground", "sky", "car"), (), ())
    evaluator = SegmentationEvaluator(Scoring(space, (3,)))
    label = torch.tensor([[0, 0, 1, 1], [2, 2, 255, 0]], dtype=torch.uint8)
    evaluator.process([{"label": label}], [{"classes": torch.tensor([[0, 1, 1, 1], [2, 2, 2, 0]])}])
    scores = flat(evaluator.evaluate())
    # ground 2 of 3; sky 2 hits and one false; both cars, the one on the ignored pixel does not count
    expected = {"IoU-ground": 200 / 3, "IoU-sky": 200 / 3, "IoU-car": 100.0}
    mean = (200 / 3 + 200 / 3 + 100) / 3
    pixels = {"pixels-ground": 3, "pixels-sky": 2, "pixels-car": 2}
    assert scores == pytest.approx({"mIoU": mean, "mIoU-3": mean, **expected, **pixels})


@pytest.mark.parametrize("predicted", [0, 2])
def test_a_class_that_no_label_has_counts_for_no_method(predicted: int) -> None:
    """Car is in no label: predicted on a pixel of ground or not, the mean is over ground and sky."""
    evaluator = SegmentationEvaluator(Scoring(own_space(("ground", "sky", "car"), (), ()), (3,)))
    label = torch.tensor([[0, 0, 1, 1], [0, 0, 255, 0]], dtype=torch.uint8)
    evaluator.process([{"label": label}], [{"classes": torch.tensor([[1, 0, 1, 1], [0, 0, 2, predicted]])}])
    scores = flat(evaluator.evaluate())
    ground = {0: 4 / 5, 2: 3 / 5}[predicted]
    assert scores["mIoU"] == scores["mIoU-3"] == pytest.approx(100 * (ground + 2 / 3) / 2)
    assert math.isnan(scores["IoU-car"]) == (predicted == 0) and scores["IoU-car"] != 100
    assert [scores[f"pixels-{name}"] for name in ("ground", "sky", "car")] == [5, 2, 0]


def test_two_networks_are_scored_on_one_reading_as_each_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    for number in range(3):
        write_image(tmp_path, number, *draw(rng, [*range(K)], [*range(K)]))
    data = scanned(tmp_path)
    models = {"student": segmentor_of(ReadsRed()), "teacher": segmentor_of(Fixed(torch.randn(1, K, 30, 40)))}
    alone = {model: evaluate(segmentor, data, ALL, CPU, workers=0) for model, segmentor in models.items()}
    read, told = [], []
    items = [data[index] for index in range(3)]

    class Counted:
        __len__ = lambda self: 3  # noqa: E731
        __getitem__ = lambda self, index: read.append(index) or items[index]  # noqa: E731

    each = {model: lambda item, classes, model=model: told.append((item["index"], model)) for model in models}
    found = evaluate_all(models, Counted(), ALL, CPU, workers=0, each=each)
    assert read == [0, 1, 2] and told == [(index, model) for index in range(3) for model in models]
    assert {model: each.scores for model, each in found.items()} == {m: each.scores for m, each in alone.items()}
    assert alone["student"].scores != alone["teacher"].scores


def test_optional_metrics_are_scored_beside_the_others_and_change_none(tmp_path: Path) -> None:
    """Labels are twice as high as the image: logits are brought to their size, and boundaries are of that."""
    rng = np.random.default_rng(4)
    truth = np.kron(rng.integers(0, K, (8, 12)), np.ones((8, 8), np.int64))
    write_image(tmp_path, 0, np.vectorize(LABEL_ID.__getitem__)(truth), truth)
    logits = 5 * torch.randn(1, K, 8, 12, generator=torch.Generator().manual_seed(3))
    segmentor, dataset = segmentor_of(Fixed(logits)), scanned(tmp_path, resize=(48, 32))
    plain = evaluate(segmentor, dataset, ALL, CPU, 0)
    found = evaluate(segmentor, dataset, replace(ALL, metrics=("ECE", "BIoU", "mBIoU")), CPU, 0)
    assert (found.by_image != plain.by_image).nnz == 0 and found.labelled_pixels == plain.labelled_pixels
    further = {name: value for name, value in flat(found).items() if name not in flat(plain)}
    assert set(further) == {"ECE-19", "mBIoU-19", *(f"BIoU-{name}" for name in CLASS_NAMES)}
    upsampled = Segmentor.upsample(Segmentor.upsample(logits, (32, 48)), (64, 96))[0]
    likely, guess = (each.numpy() for each in upsampled.softmax(dim=0).max(dim=0))
    places = np.ceil(likely * 15).astype(int)
    gaps = [abs((guess == truth)[places == place].sum() - likely[places == place].sum()) for place in range(1, 16)]
    assert further["ECE-19"] == pytest.approx(100 * sum(gaps) / truth.size, abs=1e-3)
    record = found.scores.as_json()
    assert record["metrics"]["ECE"] == {"19": further["ECE-19"]} and set(record["metrics_by_class"]) == {"BIoU"}


def test_no_labelled_pixel_gives_no_score(tmp_path: Path) -> None:
    write_image(tmp_path, 0, np.zeros((4, 6)), np.zeros((4, 6), int))
    scores = flat(evaluate(segmentor_of(ReadsRed()), scanned(tmp_path), ALL, CPU, workers=0))
    assert all(score == 0 if name.startswith("pixels-") else math.isnan(score) for name, score in scores.items())


class WithDropout(ReadsRed):
    """Notes the mode it is called in, and has one of everything whose mode matters."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout, self.frozen, self.norm = nn.Dropout(), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.seen: list[tuple[bool, ...]] = []

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        self.seen.append((self.training, self.dropout.training, self.frozen.training, self.norm.training))
        self.norm(features[0])
        assert not torch.is_grad_enabled()
        return super().forward(features)


def one_image(root: Path) -> EvaluationSet:
    write_image(root, 0, np.full((4, 6), LABEL_ID[0]), np.zeros((4, 6), int))
    return scanned(root)


def test_a_student_is_scored_in_eval_mode_and_every_mode_is_put_back(tmp_path: Path) -> None:
    decoder = WithDropout()
    segmentor = segmentor_of(decoder).train()
    decoder.frozen.eval()  # one module of another mode than the whole
    modes = {name: module.training for name, module in segmentor.named_modules()}
    evaluate(segmentor, one_image(tmp_path), ALL, CPU, workers=0)
    assert decoder.seen == [(False, False, False, False)]
    assert {name: module.training for name, module in segmentor.named_modules()} == modes
    assert segmentor.training and decoder.dropout.training and not decoder.frozen.training
    assert decoder.norm.num_batches_tracked == 0  # scoring has not moved the running statistics


def test_a_teacher_keeps_dropout_off_and_its_norms_in_train_mode(tmp_path: Path) -> None:
    teacher = Teacher(segmentor_of(WithDropout()), momentum=0.99)
    decoder = teacher.segmentor.decoder
    assert isinstance(decoder, WithDropout)
    before = (decoder.training, decoder.dropout.training, decoder.frozen.training, decoder.norm.training)
    assert before == (False, False, True, True)
    evaluate(teacher.segmentor, one_image(tmp_path), ALL, CPU, workers=0)
    assert decoder.seen == [(False, False, False, False)]
    assert (decoder.training, decoder.dropout.training, decoder.frozen.training, decoder.norm.training) == before


def test_modes_are_put_back_when_scoring_fails(tmp_path: Path) -> None:
    dataset = one_image(tmp_path)
    segmentor = segmentor_of(WithDropout()).train()
    (tmp_path / "gtFine/val/aachen/aachen_000000_000019_gtFine_labelIds.png").write_bytes(b"broken")
    with pytest.raises(DataError, match="aachen_000000_000019_gtFine_labelIds"):
        evaluate(segmentor, dataset, ALL, CPU, workers=0)
    assert all(module.training for module in segmentor.modules())


def test_reset_forgets_the_images_seen() -> None:
    evaluator = SegmentationEvaluator(ALL)
    label = torch.zeros(2, 2, dtype=torch.uint8)
    evaluator.process([{"label": label}], [{"classes": label + 1}])
    evaluator.reset()
    evaluator.process([{"label": label}], [{"classes": label}])
    assert flat(evaluator.evaluate())["IoU-road"] == 100


def test_counts_of_images_are_in_their_order_however_many_processes_share_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of five images one process has the first, third and fifth, another the others."""
    random = np.random.default_rng(0)
    labels, predicted = torch.from_numpy(random.integers(0, K, (2, 5, 4, 6), dtype=np.uint8))

    def seen(images: list[int]) -> SegmentationEvaluator:
        evaluator = SegmentationEvaluator(ALL)
        for image in images:
            evaluator.process([{"label": labels[image]}], [{"classes": predicted[image]}])
        return evaluator

    parts = [seen([0, 2, 4]), seen([1, 3])]
    gathered = iter([[part.confusion for part in parts], [part._by_image for part in parts]])
    alone = seen([0, 1, 2, 3, 4]).evaluate()
    monkeypatch.setattr("benchmarks.evaluation.evaluator.comm.all_gather", lambda value: next(gathered))
    shared = parts[0].evaluate()
    expected = [confusion_matrix(*each, K).ravel() for each in zip(labels, predicted, strict=True)]
    assert np.array_equal(alone.by_image.toarray(), expected)
    assert np.array_equal(shared.by_image.toarray(), expected)
    assert shared.scores == alone.scores
