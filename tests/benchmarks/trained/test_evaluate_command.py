"""``benchmarks/evaluate.py``: the record's numbers again, the same by cityscapesscripts, and one line for bad input."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import NETWORK, SMALL
from detectron2.config import CfgNode
from PIL import Image
from scipy.sparse import csr_array
from tiny_published import write_published
from torch.nn import functional as F
from trained_runs import Command, Ended, assert_one_line, call, copied, network, streets_root, trained

import benchmarks.evaluate
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.evaluation.evaluator import Evaluated
from benchmarks.trained import reevaluation
from benchmarks.trained.cityscapes_scripts import LabelIdFiles, official_iou
from benchmarks.trained.opened_run import TrainedRun
from datasets.classes.label_space import LabelSpace, own_space
from datasets.classes.labels import LABEL_IDS, TRAIN_IDS
from results.records.record import Record
from results.records.scores import Scores

NO_COUNTS = csr_array((0, 361))
ABSENT_FROM_SYNTHIA = ("terrain", "truck", "train")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of a finished run, so that each test starts without an evaluation."""
    return copied(trained(), tmp_path / "run")


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], run: Path) -> Command:
    capfd.readouterr()

    def command(*words: str) -> Ended:
        return call(benchmarks.evaluate, ["--run", str(run), *words], monkeypatch, capfd)

    return command


@pytest.mark.slow
def test_further_sets_are_scored_and_added_to_the_record(evaluate: Command, run: Path) -> None:
    """The run's own validation images, by the name of their layout: the same scores."""
    before = json.loads((run / "record.json").read_text())
    ended = evaluate("--also", "cityscapes")
    assert (ended.code, ended.err) == (0, "") and "mIoU@cityscapes" in ended.out
    record = json.loads((run / "record.json").read_text())
    added = record.pop("also")["cityscapes"]
    assert record == before and not (run / "evaluation.json").exists()
    assert added["result"] == {model: before["result"][model] for model in ("student", "teacher")}
    assert_one_line(evaluate("--also", "cityscapes", "--cityscapesscripts"), "--also")
    assert_one_line(evaluate("--also", "cityscape"), "did you mean 'cityscapes'?")


def entries(run: Path) -> list[dict[str, Any]]:
    content = json.loads((run / "evaluation.json").read_text())
    assert content["schema"] == 1
    evaluations: list[dict[str, Any]] = content["evaluations"]
    return evaluations


def rows(ended: Ended) -> list[list[str]]:
    return [line.rsplit(maxsplit=1) for line in ended.out.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["student", "teacher"])
def test_the_numbers_are_the_records_bit_for_bit(evaluate: Command, run: Path, model: str) -> None:
    before = (run / "record.json").read_bytes()
    ended = evaluate("--model", model)
    assert (ended.code, ended.err) == (0, "")
    recorded = json.loads(before)["result"][model]
    (entry,) = entries(run)
    assert entry["iou"] == recorded["iou"] and entry["miou_by_classes"] == {"19": recorded["miou"]}
    assert entry["equals_record"] is True and entry["cityscapesscripts"] is None
    assert (entry["model"], entry["protocol"], entry["checkpoint"]) == (model, "streets", "model_final.pth")
    assert "Equal to the record, bit for bit." in ended.out
    assert ["road", f"{recorded['iou']['road']:.2f}"] in rows(ended)
    counted = sum(pixels > 0 for pixels in entry["labelled_pixels"].values())
    assert entry["labelled_pixels"] == json.loads(before)["validation"]["labelled_pixels"] and counted < 19
    assert [f"mIoU, {counted} of 19 classes", f"{recorded['miou']:.2f}"] in rows(ended)
    known = [value for value in recorded["iou"].values() if value is not None]
    assert sum(line[-1:] == ["0.00"] for line in rows(ended)) == sum(value < 0.005 for value in known)
    assert (run / "record.json").read_bytes() == before


def test_names_of_a_run_of_others_steer_no_terminal() -> None:
    """They are its config's."""
    space = own_space(("road\x1b[2J", "sky\nmIoU  99.9", "car"), (), ())
    scored = reevaluation.Scoring(LabelSpace(space.names, space.colours, {2: (0, 1)}), (2,))
    scores = Scores(50.0, {"mIoU": {2: 50.0}}, {"IoU": dict.fromkeys(space.names, 50.0)})
    shown = reevaluation._table(Evaluated(scores, dict.fromkeys(space.names, 5), NO_COUNTS), scores, scored)
    lines = [line.split() for line in shown.splitlines()]
    assert lines[0] == ["class", "IoU", "cityscapesscripts"]
    assert lines[2] == ["road\N{REPLACEMENT CHARACTER}[2J", "50.00", "50.00"]
    assert lines[3] == ["sky", "mIoU", "99.9", "50.00", "50.00"] and lines[4][-3:] == ["classes", "50.00", "50.00"]
    assert lines[-1][-1] == "car"


def test_a_record_of_before_is_equal_but_for_a_mean_over_more_classes() -> None:
    """Its mean counts a car, which no label has and which is predicted somewhere."""
    scored = reevaluation.Scoring(own_space(("road", "sky", "car"), (), ()), (3,))
    iou: dict[str, float | None] = {"road": 60.0, "sky": 30.0, "car": 0.0}
    pixels = {"road": 5, "sky": 5, "car": 0}
    scores = Scores(45.0, {"mIoU": {3: 45.0}}, {"IoU": iou})
    found = Evaluated(scores, pixels, NO_COUNTS)
    result = {"student": {"iou": iou, "miou_by_classes": {"3": 30.0}}}
    record = Record.of({"status": "finished", "result": result})
    assert reevaluation._equal(found, record, "student", scored) is True
    assert reevaluation._counted_more(found, 3, scored) == ["car"]
    other = Evaluated(replace(scores, by_class={"IoU": iou | {"sky": 31.0}}), pixels, NO_COUNTS)
    assert reevaluation._equal(other, record, "student", scored) is False
    new = record.changed(validation={"labelled_pixels": pixels, "left_out": {"3": ["car"]}})
    assert reevaluation._equal(found, new, "student", scored) is False  # now both means are by one rule
    every = Evaluated(scores, pixels | {"car": 1}, NO_COUNTS)
    assert reevaluation._equal(every, record, "student", scored) is False


def test_evaluation_json_has_null_for_what_is_no_number(evaluate: Command, run: Path) -> None:
    """Of a class that is nowhere, and of what an older version wrote."""
    old = {"model": "teacher", "protocol": "streets", "checkpoint": "model_final.pth"}
    scores = {"iou": {"train": math.nan}, "miou_by_classes": {"19": math.inf}}
    (run / "evaluation.json").write_text(json.dumps({"schema": 1, "evaluations": [old | scores]}))
    assert evaluate().code == 0

    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    content = json.loads((run / "evaluation.json").read_text(), parse_constant=refused)
    kept, own = content["evaluations"]
    assert kept == old | {"iou": {"train": None}, "miou_by_classes": {"19": None}}
    assert None in own["iou"].values() and own["equals_record"] is True


@pytest.mark.slow
def test_a_difference_from_the_record_is_told(evaluate: Command, run: Path) -> None:
    record = json.loads((run / "record.json").read_text())
    record["result"]["student"]["iou"]["road"] += 0.25
    (run / "record.json").write_text(json.dumps(record))
    ended = evaluate()
    assert ended.code == 0
    assert "NOT equal to the record: IoU of a class differs by up to 0.25 points; on the same hardware." in ended.out
    assert entries(run)[0]["equals_record"] is False
    record["hardware"]["threads"] = 99
    (run / "record.json").write_text(json.dumps(record))
    assert "with 99 threads, this on" in evaluate().out


def test_cityscapesscripts_gives_the_same_side_by_side(evaluate: Command, run: Path) -> None:
    ended = evaluate("--cityscapesscripts")
    assert (ended.code, ended.err) == (0, "")
    (entry,) = entries(run)
    theirs = entry["cityscapesscripts"]
    assert theirs["iou"] == entry["iou"]
    assert theirs["miou_by_classes"]["19"] == pytest.approx(entry["miou_by_classes"]["19"], rel=1e-12)
    road = f"{entry['iou']['road']:.2f}"
    assert any(line.split() == ["road", road, road] for line in ended.out.splitlines())


def test_cityscapesscripts_finds_a_fault_of_ours(evaluate: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were our confusion matrix transposed, the two columns would differ."""
    right = reevaluation.SegmentationEvaluator.process

    def wrong(self: Any, inputs: Any, outputs: Any) -> None:
        right(self, inputs, outputs)
        self.confusion = np.roll(self.confusion, 1, axis=1)

    monkeypatch.setattr(reevaluation.SegmentationEvaluator, "process", wrong)
    assert evaluate("--cityscapesscripts").code == 0
    (entry,) = entries(run)
    assert entry["cityscapesscripts"]["iou"] != entry["iou"]


def test_scores_by_hand_from_files(tmp_path: Path) -> None:
    """Road 2 of 4, sky 1 of 3, car nowhere but in a prediction on an ignored pixel; labels stored both ways."""
    predicted = np.array([[0, 0, 0], [10, 10, 13]], np.uint8)
    label = np.array([[0, 0, 10], [0, 10, 255]], np.uint8)
    stored = np.array([[7, 7, 23], [7, 23, 3]], np.uint8)
    Image.fromarray(stored).save(tmp_path / "label.png")
    Image.fromarray(label).save(tmp_path / "train_ids.png")
    for encoding, name in ((LABEL_IDS, "label.png"), (TRAIN_IDS, "train_ids.png")):
        files = LabelIdFiles(tmp_path / str(encoding))
        files.add({"sem_seg_file_name": str(tmp_path / name), "label_encoding": encoding}, predicted, label)
        iou = official_iou(files.pairs)
        assert iou["road"] == pytest.approx(50) and iou["sky"] == pytest.approx(100 / 3)
        assert all(math.isnan(value) for name, value in iou.items() if name not in ("road", "sky"))


def test_what_cityscapesscripts_does_not_take_is_told_in_one_line(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "label.png")
    files = LabelIdFiles(tmp_path)
    item = {"sem_seg_file_name": str(tmp_path / "label.png"), "label_encoding": LABEL_IDS}
    files.add(item, np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8))
    with pytest.raises(ConfigError, match=r"^cityscapesscripts: Image widths of .* are not equal\.$"):
        official_iou(files.pairs)


@pytest.mark.slow
@pytest.mark.parametrize("windows", [False, True])
def test_another_protocol_gives_the_images_and_their_size_alone(evaluate: Command, run: Path, windows: bool) -> None:
    """SYNTHIA's protocol: Cityscapes' images at 1024x512; class sets and windows are the run's. Computed once more."""
    root = streets_root()
    if windows:
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["TEST"] |= {"SLIDING": True, "WINDOW": [512, 512], "STRIDE": [512, 512]}
        (run / "config.yaml").write_text(yaml.safe_dump(config))
    ended = evaluate("--protocol", "synthia-cityscapes", "--data-root", str(root))
    assert (ended.code, ended.err) == (0, "")
    assert "Nothing of the same weights and images is in the record" in ended.out
    by = "by windows of 512x512, 512x512 apart" if windows else "taken whole"
    assert f"Images at 1024x512, {by}." in ended.out
    (entry,) = entries(run)
    assert (entry["protocol"], entry["resize"]) == ("synthia-cityscapes", [1024, 512])
    assert (entry["window"], entry["stride"]) == (([512, 512],) * 2 if windows else (None, None))
    segmentor, hits, union = network(run), np.zeros(19), np.zeros(19)
    ids = np.full(256, 255)
    ids[[7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]] = range(19)
    for path in root.glob("cityscapes/leftImg8bit/val/*/*.png"):
        image = Image.open(path).resize((1024, 512), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(image, np.float32) / 255).permute(2, 0, 1)[None]
        with torch.no_grad():
            whole, *halves = [
                segmentor.decoder(segmentor.encoder(part)) for part in (pixels, pixels[..., :512], pixels[..., 512:])
            ]
        halves = [F.interpolate(half, (512, 512), mode="bilinear") for half in halves]
        logits = torch.cat(halves, -1) if windows else whole
        found = F.interpolate(logits, (64, 128), mode="bilinear")[0].argmax(0).numpy()
        stored = str(path).replace("leftImg8bit/val", "gtFine/val").replace("leftImg8bit.png", "gtFine_labelIds.png")
        label = ids[np.array(Image.open(stored))]
        found = np.where(label == 255, 255, found)
        for k in range(19):
            hits[k] += ((label == k) & (found == k)).sum()
            union[k] += ((label == k) | (found == k)).sum()
    expected = {name: 100 * h / u if u else None for name, h, u in zip(entry["iou"], hits, union, strict=True)}
    for name, value in expected.items():
        assert entry["iou"][name] == (None if value is None else pytest.approx(value, abs=0.2)), name
    known = [iou for name, iou in entry["iou"].items() if entry["labelled_pixels"][name]]
    assert entry["miou_by_classes"] == {"19": pytest.approx(sum(known) / len(known))} and entry["classes"] == 19
    assert "16 classes" not in ended.out and "Left out" not in ended.out


def trained_on_published(folder: Path, source: str) -> Path:
    """The run folder of one step on tiny files in the published folders, which lie in ``folder``/data."""
    root = write_published(folder / "data")
    keys = {key: value for key, value in SMALL.items() if "STREETS" not in key}
    sizes = {"INPUT.SOURCE_RESIZE": (), "INPUT.TARGET_RESIZE": (), "TEST.RESIZE": (), "SOLVER.ITERS": 1}
    overrides = keys | sizes | {"DATA.ROOT": str(root), "NUM_WORKERS": 0}
    cfg = RunSpec(f"{source}-cityscapes", "source-only", None, 0, overrides).resolve()
    run = run_folder(folder, cfg)
    assert run_one(Run.at(run, cfg), RunWatcher()).content["status"] == "finished"
    return run


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [None, "gta-cityscapes"])
def test_what_synthia_teaches_is_told_on_16_and_13_classes(
    evaluate: Command, tmp_path: Path, protocol: str | None
) -> None:
    """Also on the images of a protocol that tells 19. The later --run counts."""
    run = trained_on_published(tmp_path, "synthia")
    ended = evaluate("--cityscapesscripts", "--run", str(run), *(("--protocol", protocol) if protocol else ()))
    assert (ended.code, ended.err) == (0, "")
    (entry,) = entries(run)
    assert entry["classes"] == 16 and entry["equals_record"] is (None if protocol else True)
    for scores in (entry, entry["cityscapesscripts"]):
        assert list(scores["miou_by_classes"]) == ["16", "13"]
        for number, left_out in ((16, ABSENT_FROM_SYNTHIA), (13, (*ABSENT_FROM_SYNTHIA, "wall", "fence", "pole"))):
            pixels = entry["labelled_pixels"]
            known = [iou for name, iou in scores["iou"].items() if name not in left_out and pixels[name]]
            assert scores["miou_by_classes"][str(number)] == pytest.approx(sum(known) / len(known))
    first = [line.split()[0] for line in ended.out.splitlines() if line]
    assert "wall" in first and not set(ABSENT_FROM_SYNTHIA) & set(first)
    assert "Left out, in no class set of the run: terrain, truck, train" in ended.out
    assert "16 classes" in ended.out and "19 classes" not in ended.out


@pytest.mark.slow
def test_another_protocol_is_looked_for_where_the_run_had_its_data(
    evaluate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    run = trained_on_published(tmp_path, "gta")
    ended = evaluate("--run", str(run), "--protocol", "cityscapes-darkzurich")
    assert (ended.code, ended.err) == (0, "")
    assert "Images at 960x540, taken whole." in ended.out
    # A protocol's own file says where its data are: here they lie beside it.
    beside = tmp_path / "beside"
    beside.mkdir()
    (tmp_path / "data/cityscapes").rename(beside / "cityscapes")
    places = {"LAYOUT": "cityscapes", "FOLDER": "cityscapes"}
    data = {"SOURCE": places, "TARGET": places, "VAL": places | {"SPLIT": "val"}}
    (beside / "mine.yaml").write_text(yaml.safe_dump({"NETWORK": NETWORK, "DATA": data}))
    ended = evaluate("--run", str(run), "--protocol", str(beside / "mine.yaml"))
    assert (ended.code, ended.err) == (0, "")
    assert "Images at their own size, taken whole." in ended.out
    assert [entry["protocol"] for entry in entries(run)] == ["cityscapes-darkzurich", "mine"]


@pytest.mark.slow
def test_windows_that_the_network_does_not_take_are_told_in_one_line(evaluate: Command, run: Path) -> None:
    shutil.rmtree(run)
    copied(trained("dacs", "daformer-lite0"), run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["TEST"] |= {"SLIDING": True, "WINDOW": [4, 4]}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert_one_line(evaluate(), "image of 128x64, TEST.WINDOW (or the crop) 4x4: daformer-lite0 cannot be run on it")
    config["TEST"] |= {"SLIDING": False, "WINDOW": [], "RESIZE": [8, 4]}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert evaluate().code == 0  # a whole image that is smaller is padded


@pytest.mark.slow
def test_another_checkpoint_is_scored_and_a_second_time_replaces_the_first(
    evaluate: Command, run: Path, tmp_path: Path
) -> None:
    content = torch.load(run / "model_final.pth", weights_only=True)
    for key in ("decoder.classifier.weight", "decoder.classifier.bias"):
        content["model"][key].zero_()
    content["model"]["decoder.classifier.bias"][10] = 1  # sky everywhere
    torch.save(content, tmp_path / "sky.pth")
    for _ in range(2):
        assert evaluate("--checkpoint", str(tmp_path / "sky.pth")).code == 0
    assert evaluate().code == 0
    sky, own = entries(run)
    assert sky["checkpoint"] == str(tmp_path / "sky.pth") and sky["equals_record"] is None
    assert sky["iou"]["sky"] > 0 and not any(iou for name, iou in sky["iou"].items() if name != "sky")
    assert own["equals_record"] is True


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--checkpoint nowhere.pth", "nowhere.pth: no such file"),
        ("--protocol gta-cityscape", "unknown protocol 'gta-cityscape'; did you mean 'gta-cityscapes'?"),
        ("--protocol gta-cityscapes --data-root nowhere", "nowhere/cityscapes"),
        ("--device nonsense", "DEVICE 'nonsense' cannot be used"),
        ("--run nowhere", "--run nowhere: no such folder"),
    ],
)
def test_what_cannot_be_scored_is_told_in_one_line(evaluate: Command, run: Path, words: str, line: str) -> None:
    assert_one_line(evaluate(*words.split()), line)
    assert not (run / "evaluation.json").exists()


def test_a_damaged_evaluation_is_told_in_one_line(evaluate: Command, run: Path) -> None:
    shutil.rmtree(run)
    copied(trained("dacs", "daformer-lite0"), run)
    (run / "evaluation.json").write_text("[")
    ended = evaluate()
    assert_one_line(ended, "evaluation.json: expected what this command writes")
    assert "of 19 classes" in ended.out  # what was computed is shown all the same
    assert (run / "evaluation.json").read_text() == "["


@pytest.mark.slow
def test_an_unfinished_run_has_no_record_to_compare_with(evaluate: Command, run: Path) -> None:
    record = json.loads((run / "record.json").read_text())
    del record["result"]
    for status, told in (("diverged", "diverged"), ("running", "interrupted or still running")):
        (run / "record.json").write_text(json.dumps(record | {"status": status}))
        ended = evaluate()
        assert ended.code == 0 and f"The run is {told}: there is no record to compare with." in ended.out


def test_own_classes_are_not_scored_by_cityscapesscripts(small_config: Callable[..., CfgNode], run: Path) -> None:
    cfg = small_config("dacs").clone()
    cfg.defrost()
    cfg.DATA.CLASSES = tuple(f"class {index}" for index in range(19))
    with pytest.raises(ConfigError, match=r"not those of DATA\.CLASSES"):
        reevaluation.reevaluate(TrainedRun.at(run, cfg), "student", official=True)
    with pytest.raises(ConfigError, match="its classes are not those that run"):
        reevaluation.reevaluate(TrainedRun.at(run, cfg), "student", protocol="gta-cityscapes")
