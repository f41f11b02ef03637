"""Compute cost of methods: what a step calls, by hand; time; the command."""

from __future__ import annotations

import csv
import io
import json
import sys
from typing import Any

import hand_counts as hand
import pytest
import torch
from conftest import NETWORK
from counted_costs import COUNTER

from ablations import cost
from ablations.profiling import cost_tables, counting, step_cost, step_time
from ablations.profiling.call_recorder import META, Recorder, meta_trainer, new_shapes, record_inference, record_step
from ablations.profiling.step_cost import CostCounter, MethodCost
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.measure.timed_step import Timed, own_bytes, timed_step
from methods.networks import build_segmentor

LITE0, TINY = (24, 40, 112, 320), (8, 12, 16, 24)
SMALL = {"NETWORK": NETWORK, "WEIGHTS": "none", "INPUT.CROP": (64, 64), "SOLVER.BATCH": 2}


def method(name: str, **overrides: Any) -> MethodCost:
    """Counted on 64x64 crops, two of each domain, with MRM as published; by default of the smallest network."""
    values = {"TERMS.MRM.RESOLUTION": 16} | SMALL | {key.replace("__", "."): value for key, value in overrides.items()}
    return COUNTER.method(RunSpec("streets", name, overrides=values).resolve())


@pytest.fixture(scope="module")
def width() -> int:
    """Of the decoder of the smallest network."""
    return build_segmentor(NETWORK, hand.K, "none").decoder.classifier.in_channels


# Steps


@pytest.mark.slow
def test_passes_and_costs_of_the_three_maskings() -> None:
    """Table 6: nothing, input space, latent space; by hand."""
    width = build_segmentor("daformer-lite0", hand.K, "none").decoder.classifier.in_channels
    encoder, decoder = hand.lite0(64), hand.daformer_head(LITE0, width, 64)
    rebuilder = 4 * 512 * 256 + 320 * 512 * 4 + hand.rebuilder_blocks(512, 256, 2) + 5 * 512 * 256
    for channels, side in zip(LITE0, (16, 8, 4, 2), strict=True):
        rebuilder += hand.rebuilder_projector(512, channels, 0, 16) + (4 * channels * side**2 if side < 16 else 0)
    host, inputs, latent = (method(name, NETWORK="daformer-lite0") for name in ("dacs", "dacs+mrm-input", "dacs+mrm"))
    assert host.target_image_macs == encoder + decoder
    assert inputs.target_image_macs == 2 * (encoder + decoder) and inputs.ratio == 2
    assert latent.target_image_macs == encoder + 2 * decoder + rebuilder
    assert latent.ratio == latent.target_image_macs / host.target_image_macs
    assert [one.passes for one in (host, inputs, latent)] == [
        {"encoder": 1, "decoder": 1},
        {"encoder": 2, "decoder": 2},
        {"encoder": 1, "decoder": 2},
    ]
    for one in (host, inputs, latent):
        assert one.inference_macs == encoder + decoder
        assert one.inference_parameters == host.inference_parameters
        assert one.copies_macs == 2 * (encoder + decoder)  # the teacher on two images
        assert one.student_macs == 2 * (encoder + decoder) + 2 * one.target_image_macs  # source and mixed images
        assert sum(part.target_image_macs for part in one.parts.values()) == one.target_image_macs
        assert sum(part.step_macs for part in one.parts.values()) == one.student_macs + one.copies_macs
        assert not one.uncounted


def test_labelled_target_images_cost_what_source_images_do() -> None:
    host, semi = method("dacs"), method("dacs+semi", SOLVER__LABELLED_BATCH=3)
    assert semi.target_image_macs == host.target_image_macs and semi.ratio == 1
    assert semi.student_macs == host.student_macs + 3 * host.inference_macs


@pytest.mark.slow
def test_backward_by_hand(width: int) -> None:
    """Each product has two gradients; the image has none."""
    encoder, decoder = hand.tiny(64, norms=False), hand.daformer_head(TINY, width, 64, norms=False)
    of_image = hand.conv(3, 3, 8, 32 * 32)
    dacs = 4 * (2 * (encoder + decoder) - of_image)
    assert method("dacs").backward_macs == dacs
    rebuilder = 24 * 512 * 4 + hand.rebuilder_blocks(512, 256, 2, norms=False)
    rebuilder += sum(hand.rebuilder_projector(512, channels, 0, 16, norms=False) for channels in TINY)
    assert method("dacs+mrm").backward_macs == dacs + 2 * 2 * (decoder + rebuilder)
    # The decoder's weights are constants in this pass: one gradient less.
    assert method("dacs+mrm", TERMS__MRM__TRAINED="encoder").backward_macs == dacs + 2 * (decoder + 2 * rebuilder)


@pytest.mark.slow
def test_checkpointing_computes_blocks_again_in_backward() -> None:
    plain, again = method("dacs"), method("dacs", SOLVER__ACTIVATION_CHECKPOINTING=True)
    assert (again.student_macs, again.copies_macs) == (plain.student_macs, plain.copies_macs)
    assert again.backward_macs - plain.backward_macs == 4 * hand.tiny_block(64, norms=False)


@pytest.mark.slow
def test_two_resolutions(width: int) -> None:
    """Context and one window in training; in inference the context and nine windows."""
    counted = method("hrda", INPUT__CROP=(128, 128))
    assert counted.passes == {"encoder": 2, "decoder": 2, "attention": 1}
    assert counted.inference_passes == {"encoder": 10, "decoder": 10, "attention": 1}
    encoder, decoder = hand.tiny(64), hand.daformer_head(TINY, width, 64)
    attention = counted.parts["attention"].target_image_macs
    assert attention > 0 and counted.target_image_macs == 2 * (encoder + decoder) + attention
    assert counted.inference_macs == 10 * (encoder + decoder) + attention
    assert counted.parts["teacher.encoder"].step_macs == 2 * 10 * encoder
    assert counted.parts["feature-distance.frozen"].step_macs == 2 * encoder  # of the context, on source images
    assert counted.parts["feature-distance.frozen"].parameters == 0


@pytest.mark.slow
def test_hosts_without_adaptation() -> None:
    source, target = method("source-only"), method("target-only")
    assert source.target_image_macs == 0 and source.ratio is None and source.passes == {}
    assert target.target_image_macs == target.inference_macs and target.ratio == 1
    assert source.copies_macs == target.copies_macs == 0


@pytest.mark.slow
def test_own_teacher_is_a_copy() -> None:
    host, own = method("dacs"), method("dacs+mic", TERMS__MIC__TEACHER="own")
    assert own.copies_macs == 2 * host.copies_macs
    assert own.target_image_macs == 2 * host.target_image_macs and own.ratio == 2
    assert own.parameters == host.parameters


@pytest.mark.slow
def test_weight_0_costs_what_the_host_costs() -> None:
    host, without = method("dacs"), method("dacs+mrm", TERMS__MRM__WEIGHT=0.0)
    assert without.to_dict() | {"method": "dacs"} == host.to_dict()


@pytest.mark.slow
def test_parameters_by_part() -> None:
    """The Rebuilder's by hand: embedding, blocks, norm; mask token and projectors."""
    counted = method("dacs+mrm")
    segmentor = build_segmentor(NETWORK, hand.K, "none")
    assert counted.parts["encoder"].parameters == sum(p.numel() for p in segmentor.encoder.parameters())
    assert counted.inference_parameters == sum(p.numel() for p in segmentor.parameters())
    assert counted.parts["mrm.rebuilder.embed"].parameters == 24 * 512 + 512
    assert counted.parts["mrm.rebuilder.blocks"].parameters == 2 * (12 * 512**2 + 13 * 512)
    assert counted.parts["mrm.rebuilder.norm"].parameters == 2 * 512
    assert counted.parts["mrm.rebuilder.projectors"].parameters == sum(512 * c + c + 2 * c for c in TINY)
    assert counted.parts["mrm.rebuilder"].parameters == 512
    assert counted.parameters == sum(part.parameters for part in counted.parts.values())


def test_nothing_is_counted_of_weights_that_are_not_here() -> None:
    cfg = RunSpec("streets", "source-only", overrides=SMALL | {"WEIGHTS": "gone.pth"}).resolve()
    assert meta_trainer(cfg).student.encoder is not None and cfg.WEIGHTS == "gone.pth"


@pytest.mark.slow
def test_recording_ends_with_the_step() -> None:
    cfg = RunSpec("streets", "dacs+mrm", overrides=SMALL).resolve()
    trainer = meta_trainer(cfg)
    calls, _ = record_step(trainer, new_shapes())
    assert [(call.part, call.view, call.term, call.images) for call in calls if call.trained] == [
        ("encoder", "source", "supervised", 2),
        ("decoder", "source", "supervised", 2),
        ("encoder", "mixed", "self-training", 2),
        ("decoder", "mixed", "self-training", 2),
        ("mrm.rebuilder", "mixed", "mrm", 2),
        ("decoder", "mixed", "mrm", 2),
    ]
    record_inference(trainer.student, (64, 64), new_shapes())
    for root in (trainer.student, trainer.teacher, trainer.terms):
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in root.modules())  # type: ignore[union-attr]


def test_an_error_in_a_pass_leaves_no_hooks() -> None:
    student = build_segmentor(NETWORK, hand.K, "none").to(META)
    with pytest.raises(Exception, match=r"."):
        record_inference(student, (-1, 64), new_shapes())
    assert not any(module._forward_hooks for module in student.modules())
    recorder = Recorder({"": student})
    with pytest.raises(RuntimeError):
        student.encoder(torch.empty(1, 5, 64, 64, device=META))
    assert recorder._depth == 0


# Time


def test_methods_are_timed_in_turn_and_the_first_step_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[int] = []

    def step(trainer: Any) -> Timed:
        order.append(id(trainer))
        return Timed(float(len(order)), 0.0, None)

    monkeypatch.setattr(step_time, "timed_step", step)
    monkeypatch.setattr(step_time, "counted_memory", lambda cfg, learners: (1.0, 2.0))
    small = SMALL | {"DEVICE": "cpu"}
    configs = [RunSpec("streets", name, overrides=small).resolve() for name in ("source-only", "dacs")]
    first, second = step_time.measure(configs, 3)
    assert order == order[:2] * 4 and order[0] != order[1]
    assert (first.seconds, second.seconds) == ([3, 5, 7], [4, 6, 8])
    assert (first.median, first.peak_mib, first.peak_kind) == (5, 2, "counted")


@pytest.mark.slow
def test_a_step_is_run_and_its_memory_held_is_known() -> None:
    small = SMALL | {"DEVICE": "cpu"}
    cfg = RunSpec("streets", "dacs", overrides=small).resolve()
    trainer = step_time.random_trainer(cfg, torch.device("cpu"))
    before = [p.clone() for p in trainer.student.parameters()]
    with step_time.EventStorage(0):
        trainer.iter = 0
        timed = timed_step(trainer)
    assert timed.seconds > 0 and timed.cpu_seconds > 0 and timed.peak_mib is None
    assert any(not torch.equal(a, b) for a, b in zip(before, trainer.student.parameters(), strict=True))
    weights = 4 * sum(p.numel() for p in before)
    # Student, teacher, gradients and two moments; buffers and step counts are little.
    assert own_bytes(trainer) == pytest.approx(5 * weights, rel=0.03)


@pytest.mark.slow
def test_a_measured_method_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.tools.device_calls.build_learners", lambda *_: pytest.fail("built again"))
    small = SMALL | {"DEVICE": "cpu"}
    (measured,) = step_time.measure([RunSpec("streets", "source-only", overrides=small).resolve()], 1)
    assert measured.median > 0 and measured.peak_mib > 1


# The command


def run(monkeypatch: pytest.MonkeyPatch, *words: str, counter: CostCounter = COUNTER) -> int:
    monkeypatch.setattr(step_cost, "CostCounter", lambda: counter)
    streets = ["--protocol", "streets", "--network", NETWORK, "--crop", "64x64", "SOLVER.BATCH", "2"]
    monkeypatch.setattr(sys, "argv", ["cost.py", *streets, *words])
    return cost.main()


@pytest.mark.slow
def test_json_is_a_list_with_an_object_a_method(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    assert run(monkeypatch, "--methods", "dacs,dacs+mrm,mrm", "--format", "json") == 0
    host, latent = json.loads(capsys.readouterr().out)  # mrm is dacs+mrm
    assert (host["method"], latent["method"]) == ("dacs", "dacs+mrm")
    assert host["ratio"] == 1 and host["crop"] == "64x64" and host["batch"] == 2
    by_hand = (hand.tiny(64) + hand.daformer_head(TINY, width, 64)) / 1e9
    assert host["target_image_gmacs"] == host["inference_gmacs"] == latent["inference_gmacs"] == pytest.approx(by_hand)
    assert latent["target_image_gmacs"] == pytest.approx(latent["ratio"] * by_hand)
    assert latent["parameters"] - host["parameters"] == sum(
        part["parameters"] for name, part in latent["parts"].items() if name.startswith("mrm.")
    )


@pytest.mark.slow
def test_csv_and_table_say_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--methods", "target-only", "--format", "csv") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert float(row["parts.encoder.target_image_gmacs"]) == hand.tiny(64) / 1e9
    assert run(monkeypatch, "--methods", "target-only", "--measure", "1") == 0
    out, err = capsys.readouterr()
    line = next(line for line in out.splitlines() if line.startswith("| target-only "))
    crop, macs, ratio, passes = [cell.strip() for cell in line.split("|")][2:6]
    assert (crop, ratio, passes) == ("64x64", "x1.00", "1, 1")
    assert float(macs) == pytest.approx(float(row["target_image_gmacs"]), rel=0.02)
    assert "1 multiply-add = 2 FLOPs" in out and "s/step (median)" in out and "peak memory (counted)" in out
    assert "counting  0/1 methods  target-only" in err and "measuring on cpu  0/2 steps  target-only" in err


def test_names_of_methods_are_no_formulas() -> None:
    assert cost_tables.as_csv([{"method": "=1+1", "parts": {"a": 1}}]) == "method,parts.a\n'=1+1,1"


@pytest.mark.slow
def test_operators_without_a_count_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(counting, "_FREE", counting._FREE - {"aten::feature_dropout"})
    assert run(monkeypatch, "--methods", "source-only", "--format", "json", counter=CostCounter()) == 0
    out, err = capsys.readouterr()
    assert "warning: source-only: not counted in decoder: aten::feature_dropout (1x)" in err
    assert json.loads(out)[0]["uncounted"] == {"decoder": {"aten::feature_dropout": 1}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--crop", "512"], "--crop is '512', expected a width and a height in pixels"),
        (["--crop", "0x64"], "--crop is '0x64', expected a width and a height in pixels"),
        (["--measure", "0"], "--measure is 0, expected at least 1 step"),
        (["--network", "daformer-lite"], "unknown network 'daformer-lite'; did you mean 'daformer-lite0'"),
        (["--methods", ""], "--methods is empty"),
        (["TERMS.MRM.BLOKS", "2"], "unknown key TERMS.MRM.BLOKS; did you mean TERMS.MRM.BLOCKS"),
    ],
)
def test_what_the_user_got_wrong_is_one_line(monkeypatch: pytest.MonkeyPatch, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(monkeypatch, *words)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "steps"), [(["--measure"], 10), (["--measure", "3"], 3), (["--measure=4"], 4), ([], None)]
)
def test_the_number_of_measured_steps_may_be_left_out(words: list[str], steps: int | None) -> None:
    """Also before a KEY."""
    arguments = cost.parse_arguments([*words, "TERMS.MRM.DIM", "128"])
    assert arguments.measure == steps and arguments.overrides == ["TERMS.MRM.DIM", "128"]


def test_no_words_are_the_defaults() -> None:
    assert cost.parse_arguments([]).methods == "dacs,dacs+mrm-input,dacs+mrm"
    assert cost.parse_arguments(["--measure"]).measure == cost.MEASURED_STEPS
