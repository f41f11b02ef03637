"""Vision Transformers of the shipped kinds that a test can afford, known by name for as long as it runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from methods.decoders.convolutional import DAFormerDecoder
from methods.encoders.vit import DINOv2, DINOv3, Size
from methods.networks import NETWORKS

TINY = Size(16, 4, 2)  # channels, blocks, heads
LINEAR, DAFORMER = "tiny-dinov2-linear", "tiny-dinov3-daformer"


def register_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register LINEAR, of patches of 14, and DAFORMER, of patches of 16; without published weights."""
    linear = replace(NETWORKS["dinov2-s-linear"], make_encoder=lambda: DINOv2(TINY), weights=None)
    daformer = replace(
        NETWORKS["dinov3-s-daformer"],
        make_encoder=lambda: DINOv3(TINY, taps=4),
        make_decoder=lambda encoder, classes: DAFormerDecoder(encoder.channels, classes, width=8),
        weights=None,
    )
    monkeypatch.setitem(NETWORKS, LINEAR, linear)
    monkeypatch.setitem(NETWORKS, DAFORMER, daformer)
