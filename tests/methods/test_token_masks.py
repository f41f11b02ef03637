"""Masking strategies of MRM on drawn examples."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from methods.base.draws import Draws
from methods.base.randomness import keyed_generator
from methods.parts.masking import bernoulli_mask
from methods.parts.token_masks import STRATEGIES, TokenMasker, class_mask, confidence_mask


def test_random_is_one_draw_a_token() -> None:
    labels = torch.zeros(2, 8, 8, dtype=torch.int64)
    mask = TokenMasker("random", 0.4, 16, 4).draw(labels, None, Draws(keyed_generator(0, "test")))
    assert torch.equal(mask, bernoulli_mask(2, 16, 16, 0.4, Draws(keyed_generator(0, "test"))))


def test_block_masks_square_blocks_of_tokens() -> None:
    mask = TokenMasker("block", 0.4, 10, 4).draw(torch.zeros(1000, 8, 8), None, Draws(keyed_generator(0, "test")))
    assert mask.shape == (1000, 1, 10, 10)
    blocks = []
    for top in range(0, 10, 4):
        for left in range(0, 10, 4):
            block = mask[:, 0, top : top + 4, left : left + 4].flatten(1)
            assert torch.equal(block.amin(1), block.amax(1))
            blocks.append(block[:, 0])
    drawn = torch.stack(blocks)
    assert abs(drawn.mean().item() - 0.4) < 4 * math.sqrt(0.4 * 0.6 / drawn.numel())


def test_confidence_masks_the_least_sure_tokens_of_each_image() -> None:
    # Two by two tokens of 2 x 2 pixels; their means by hand.
    first = [
        [0.9, 0.9, 0.2, 0.4],
        [0.9, 0.9, 0.2, 0.4],
        [1.0, 0.0, 0.7, 0.7],
        [1.0, 0.0, 0.7, 0.7],
    ]  # 0.9 0.3 / 0.5 0.7
    second = [[0.1, 0.1, 1.0, 1.0], [0.1, 0.1, 1.0, 1.0], [1.0, 1.0, 0.2, 0.2], [1.0, 1.0, 0.2, 0.2]]  # 0.1 1 / 1 0.2
    probability = torch.tensor([first, second])
    half = confidence_mask(probability, 2, 0.5, Draws(keyed_generator(0, "test")))
    assert half[:, 0].tolist() == [[[0, 1], [1, 0]], [[1, 0], [0, 1]]]
    one = confidence_mask(probability, 2, 0.3, Draws(keyed_generator(0, "test")))  # 1.2 tokens
    assert one[:, 0].tolist() == [[[0, 1], [0, 0]], [[1, 0], [0, 0]]]
    assert confidence_mask(probability, 2, 0.0, Draws(keyed_generator(0))).sum() == 0
    assert confidence_mask(probability, 2, 1.0, Draws(keyed_generator(0))).min() == 1


def test_equally_sure_tokens_are_masked_in_random_order() -> None:
    mask = confidence_mask(torch.ones(500, 8, 8), 4, 0.25, Draws(keyed_generator(0, "test")))
    assert mask.flatten(1).sum(1).unique().tolist() == [4]
    assert (mask.mean(0) - 0.25).abs().max() < 4 * math.sqrt(0.25 * 0.75 / 500)


def test_confidence_asks_for_a_teacher() -> None:
    with pytest.raises(RuntimeError, match="no teacher made"):
        TokenMasker("confidence", 0.4, 4, 1).draw(torch.zeros(1, 8, 8), None, Draws(keyed_generator(0)))


def test_class_masks_whole_classes_nearest_to_the_ratio() -> None:
    """Shares of 1/2, 1/4 and 1/4, and a ratio of 0.4: what each of the 6 orders gives, by hand."""
    label = torch.tensor([[0, 0, 5, 5], [0, 0, 5, 5], [0, 0, 9, 9], [0, 0, 9, 9]]).repeat_interleave(2, 0)
    label = label.repeat_interleave(2, 1)  # 8 x 8 pixels, 4 x 4 tokens
    masks = class_mask(label.expand(1200, 8, 8), 4, 0.4, Draws(keyed_generator(0, "test")))
    seen: Counter[frozenset[int]] = Counter()
    for mask in masks:
        pixels = mask[0].repeat_interleave(2, 0).repeat_interleave(2, 1).bool()
        classes = frozenset(label[pixels].tolist())
        assert not classes & set(label[~pixels].tolist())
        seen[classes] += 1
    # {0} is 0.1 off, {5, 9} 0.1; where 0 is second, 5 or 9 alone (0.15 off) is nearer than both (0.35).
    expected = {frozenset({0}): 1 / 3, frozenset({5, 9}): 1 / 3, frozenset({5}): 1 / 6, frozenset({9}): 1 / 6}
    assert seen.keys() == expected.keys()
    for classes, probability in expected.items():
        deviation = math.sqrt(probability * (1 - probability) / 1200)
        assert abs(seen[classes] / 1200 - probability) < 4 * deviation


def test_class_reads_the_label_at_a_tokens_centre() -> None:
    label = torch.full((1, 6, 6), 3)
    label[0, 1, 4] = 7  # the centre of the upper right of 2 x 2 tokens of 3 x 3 pixels
    masks = class_mask(label.expand(200, 6, 6), 2, 0.25, Draws(keyed_generator(0, "test")))
    assert {tuple(mask.flatten().tolist()) for mask in masks} == {(0, 1, 0, 0), (0, 0, 0, 0)}


def test_class_never_masks_what_has_none() -> None:
    label = torch.full((1, 4, 4), 255)
    assert class_mask(label, 4, 1.0, Draws(keyed_generator(0))).sum() == 0
    label[0, :2] = 18
    assert class_mask(label, 4, 1.0, Draws(keyed_generator(0)))[0, 0].tolist() == [[1] * 4] * 2 + [[0] * 4] * 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_masks_repeat_and_differ_between_images(strategy: str) -> None:
    labels = torch.arange(16).view(4, 4).repeat_interleave(4, 0).repeat_interleave(4, 1).expand(2, 16, 16)
    masker = TokenMasker(strategy, 0.4, 8, 2)
    first, again = (masker.draw(labels, torch.ones(2, 16, 16), Draws(keyed_generator(0, "test"))) for _ in range(2))
    other = masker.draw(labels, torch.ones(2, 16, 16), Draws(keyed_generator(1, "test")))
    assert first.shape == (2, 1, 8, 8) and set(first.unique().tolist()) == {0, 1}
    assert torch.equal(first, again) and not torch.equal(first, other) and not torch.equal(first[0], first[1])
