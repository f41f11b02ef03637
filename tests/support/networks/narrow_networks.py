"""Networks whose layers are those of registered ones, but narrow: for tests to which the width is nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from methods.encoders.resnet import V1C_STRIDE_8, DilatedResNet
from methods.networks import NETWORKS


def narrow_resnet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make deeplabv2-r50 an eighth as wide: all its blocks, strides, dilations and names, 1/64 of its arithmetic."""
    layout = V1C_STRIDE_8._replace(stem_channels=8, channels=32)
    spec = replace(NETWORKS["deeplabv2-r50"], make_encoder=lambda: DilatedResNet(50, layout))
    monkeypatch.setitem(NETWORKS, "deeplabv2-r50", spec)
