"""Labelled target images in a training step: the loss by hand, and which sums of methods have it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from tiny_trainer import tiny_steps, tiny_trainer

from methods.base.errors import MethodError
from methods.framework.recipes import parse
from methods.framework.shipped import import_methods

import_methods()

MakeConfig = Callable[..., CfgNode]
KEYS = {"DATA.LABELLED_TARGET": "1/2", "SOLVER.LABELLED_BATCH": 3}


def test_the_loss_is_the_cross_entropy_on_the_labelled_target_batch(small_config: MakeConfig) -> None:
    trainer = tiny_trainer(small_config, "source-only+semi", KEYS)
    step = trainer.training_step(next(trainer.batches_from(0)))
    assert step.labelled_target is not None
    assert (len(step.source_batch.images), len(step.labelled_target.images)) == (2, 3)
    logits, labels = step.labelled.logits, step.labelled_target.labels
    expected = -F.log_softmax(logits, dim=1).gather(1, labels.clamp(max=18)[:, None])[:, 0]
    expected = torch.where(labels == 255, 0.0, expected).mean()  # over all pixels, ignored ones too
    (semi,) = (term for term in trainer.terms if type(term).__name__ == "LabelledTarget")
    assert semi.losses(step)["loss_semi"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert list(semi.pictures(step)) == ["labelled target", "its label"]


def test_it_trains_beside_the_hosts_losses_and_leaves_them_as_they_are(small_config: MakeConfig) -> None:
    few = {"DATA.LABELLED_TARGET": "1/2"}
    host, both = (tiny_steps(tiny_trainer(small_config, *each), 2) for each in (("dacs", {}), ("dacs+semi", few)))
    assert both[0].items() > host[0].items() and set(both[0]) - set(host[0]) == {"loss_semi"}
    assert both[1]["loss_supervised"] != host[1]["loss_supervised"]  # its gradient was in the first update


def test_a_recipe_without_it_has_no_labelled_target(small_config: MakeConfig) -> None:
    trainer = tiny_trainer(small_config, "dacs")
    step = trainer.training_step(next(trainer.batches_from(0)))
    with pytest.raises(RuntimeError, match="the recipe loads none"):
        step.labelled  # noqa: B018


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("semi", "dacs+semi"),
        ("semi+source-only", "source-only+semi"),
        ("semi+mrm", "dacs+mrm+semi"),
        ("daformer+semi+mic", "daformer+mic+semi"),
    ],
)
def test_sums(text: str, name: str) -> None:
    recipe = parse(text)
    assert recipe.name == name and recipe.few_labels and not recipe.oracle and "semi" in recipe.terms


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("target-only+semi", "'semi' learns from target labels, as 'target-only' does alone: expected 'target-only'"),
        ("source-only+semi+mrm", "'mrm' needs pseudo-labels, which 'source-only' does not make"),
    ],
)
def test_what_makes_no_sense_says_why(text: str, line: str) -> None:
    with pytest.raises(MethodError) as error:
        parse(text)
    assert line in str(error.value) and "\n" not in str(error.value)
