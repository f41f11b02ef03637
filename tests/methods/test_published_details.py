"""Details in which the methods once differed from the papers and the authors' code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from benchmarks.core.errors import ConfigError
from benchmarks.evaluation.inference import predict_logits
from methods.framework.step import SelfTraining, Source, TrainingStep
from methods.mrm import MRM, MRMSettings
from methods.mrm_input import MRMInput, MRMInputSettings
from methods.networks import Segmentor, build_segmentor
from methods.parts.masking import resize_mask
from methods.parts.strong_augmentation import colour_jitter
from methods.parts.teacher import Teacher


@pytest.fixture(scope="module")
def segmentor() -> Segmentor:
    torch.manual_seed(0)
    return build_segmentor("daformer-lite0", 3, "none")


class HostValues(TorchFunctionMode):
    """Counts tensors made of Python numbers for a device: on CUDA each is a copy that the host waits for."""

    count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.tensor and "device" in (kwargs or {})
        return func(*args, **(kwargs or {}))


def test_jitter_does_not_wait_for_the_device() -> None:
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with HostValues() as made:
        colour_jitter(images, torch.full((4, 2), 1.1), [0, 1, 2, 3])
    assert made.count == 0


def test_whole_images_are_scored_as_published(segmentor: Segmentor) -> None:
    """mmsegmentation's whole inference: logits to the size of the image, then to the label's."""
    images = torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    segmentor.eval()
    with torch.no_grad():
        coarse = segmentor.infer(images)
        at_image = F.interpolate(coarse, (64, 128), mode="bilinear", align_corners=False)
        published = F.interpolate(at_image, (128, 256), mode="bilinear", align_corners=False)
    torch.testing.assert_close(predict_logits(segmentor, images, (128, 256), None), published)


def test_pixel_regression_of_a_crop_that_is_no_multiple_of_32() -> None:
    torch.manual_seed(0)
    student = build_segmentor("daformer-lite0", 3, "none")
    term = MRM(MRMSettings(objective="pixel-regression", dim=32, heads=2, resolution=4), student, (72, 104))
    images = torch.rand(2, 3, 72, 104, generator=torch.Generator().manual_seed(0))
    step = TrainingStep(
        student=student,
        teacher=Teacher(student, 0.99),
        source_batch=Source(images, torch.zeros(2, 72, 104, dtype=torch.long), [[0], [0]]),
        target_images=images,
        settings=SelfTraining(),
        seed=0,
        iteration=0,
    )
    assert torch.isfinite(term.losses(step)["loss_mrm"])


@pytest.mark.parametrize("method", ["dacs+mixup", "dacs+mixup-local"])
def test_mixup_refuses_a_batch_of_1_before_training(small_config: Callable[..., CfgNode], method: str) -> None:
    with pytest.raises(ConfigError, match=r"SOLVER\.BATCH is 1, expected at least 2 for mixup"):
        small_config(method, overrides={"SOLVER.BATCH": 1})


def test_the_mask_token_is_the_same_at_every_place(segmentor: Segmentor) -> None:
    term = MRMInput(MRMInputSettings(), segmentor, (40, 40))  # cells of 2.5 pixels
    with torch.no_grad():
        filled = term.masked(torch.zeros(1, 3, 40, 40), torch.ones(1, 1, 16, 16), segmentor)[0]
    cells = resize_mask(torch.arange(256.0).view(1, 1, 16, 16), (40, 40))[0, 0]
    for cell in range(1, 256):
        top, left = (cells == cell).nonzero()[0].tolist()
        torch.testing.assert_close(filled[:, top, left], filled[:, 0, 0])
