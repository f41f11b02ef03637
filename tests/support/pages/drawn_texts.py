"""The texts of a figure, where they stand once it is drawn."""

from __future__ import annotations

import itertools

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def drawn_texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """Each text that is drawn, with its box in pixels."""
    found: list[Text] = []
    draw = Text.draw

    def noting(self: Text, renderer: object) -> None:
        draw(self, renderer)
        if self.get_visible() and self.get_text().strip():
            found.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", noting)
        figure.canvas.draw()
    return [(text.get_text(), text.get_window_extent()) for text in found]


def assert_texts_fit(figure: Figure) -> None:
    """No text is cut by the figure's edge, and none lies over another."""
    texts = drawn_texts(figure)
    assert len(texts) > 3
    for text, box in texts:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        assert inside, f"{text!r} is cut: {box} of {figure.bbox}"
    for (one, first), (other, second) in itertools.combinations(texts, 2):
        over = Bbox.intersection(first, second)
        assert over is None or min(over.width, over.height) < 0.5, f"{one!r} and {other!r} overlap"
