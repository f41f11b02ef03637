"""The windows that a config asks for where images are not taken whole."""

from __future__ import annotations

from dataclasses import dataclass

from detectron2.config import CfgNode

from benchmarks.core.errors import ConfigError
from methods.networks import Window
from methods.networks.multi_resolution import overlapping_windows


@dataclass(frozen=True)
class SlidingWindow:
    """Windows of ``window`` (width, height) pixels, ``stride`` apart; the last of a row or column ends at the border.

    As the published methods test at full resolution (HRDA: windows of 1024, stride 512).
    """

    window: tuple[int, int]
    stride: tuple[int, int]

    def __post_init__(self) -> None:
        """Check the sizes. Raises ConfigError where windows would leave pixels out."""
        if any(stride > window for stride, window in zip(self.stride, self.window, strict=True)):
            raise ConfigError(f"TEST.STRIDE is {self.stride}, expected at most the window, {self.window}")

    def windows(self, height: int, width: int) -> list[Window]:
        """All windows of an image, row by row; an image smaller than one is a window itself."""
        return overlapping_windows((height, width), self.window[::-1], self.stride[::-1])


def halved(window: tuple[int, int]) -> SlidingWindow:
    """Windows of that (width, height), half a window apart."""
    return SlidingWindow(window, (max(1, window[0] // 2), max(1, window[1] // 2)))


def sliding(cfg: CfgNode) -> SlidingWindow | None:
    """The windows that TEST.SLIDING asks for; None where images are taken whole. Raises ConfigError."""
    if not cfg.TEST.SLIDING:
        if cfg.TEST.WINDOW or cfg.TEST.STRIDE:
            raise ConfigError("TEST.WINDOW and TEST.STRIDE are for sliding inference: expected TEST.SLIDING True too")
        return None
    usual = halved(tuple(cfg.TEST.WINDOW or cfg.INPUT.CROP))
    return SlidingWindow(usual.window, tuple(cfg.TEST.STRIDE)) if cfg.TEST.STRIDE else usual
