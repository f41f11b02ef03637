"""Draws for images: the same for an image, by however many processes a batch is shared."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from methods.base.batch_share import ALONE, Share
from methods.base.draws import Draws
from methods.base.errors import MethodError
from methods.base.randomness import keyed_generator
from methods.framework.step import SelfTraining, Source, TrainingStep
from methods.networks import build_segmentor
from methods.parts.masking import block_mask
from methods.parts.strong_augmentation import StrongAugmentation
from methods.parts.teacher import Teacher
from methods.parts.token_masks import STRATEGIES, TokenMasker

IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
LABELS = torch.randint(19, (4, 32, 32), generator=torch.Generator().manual_seed(2))
CERTAINTY = torch.rand(4, 32, 32, generator=torch.Generator().manual_seed(3))


def step(share: Share = ALONE) -> TrainingStep:
    """The step of a process that has its share of four images."""
    student = build_segmentor("daformer-lite0", 19, "none")
    images = share.local_rows(IMAGES)
    return TrainingStep(
        student=student,
        teacher=Teacher(student, 0.99),
        source_batch=Source(images, share.local_rows(LABELS), [[0]] * len(images)),
        target_images=images,
        settings=SelfTraining(),
        seed=0,
        iteration=3,
        share=share,
    )


def of_processes(ranks: int, draw: Callable[[Share], torch.Tensor]) -> torch.Tensor:
    return torch.cat([draw(Share(rank, ranks)) for rank in range(ranks)])


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_a_term_of_ones_own_draws_for_each_image_once(ranks: int) -> None:
    alone = step().rand("mine/mask", (4, 1, 8, 8))
    assert torch.equal(alone, torch.rand(4, 1, 8, 8, generator=keyed_generator(0, "mine/mask", 3)))
    together = of_processes(ranks, lambda share: step(share).rand("mine/mask", (4 // ranks, 1, 8, 8)))
    assert torch.equal(together, alone)
    assert len({tuple(row.flatten().tolist()) for row in together}) == 4


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_token_masks_of_processes_are_those_of_one(strategy: str, ranks: int) -> None:
    masker = TokenMasker(strategy, 0.4, 8, 2)

    def draw(share: Share) -> torch.Tensor:
        return masker.draw(share.local_rows(LABELS), share.local_rows(CERTAINTY), Draws(keyed_generator(0), share))

    assert torch.equal(of_processes(ranks, draw), draw(ALONE))
    assert not torch.equal(draw(ALONE)[0], draw(ALONE)[1])


def test_augmentation_and_blocks_of_processes_are_those_of_one() -> None:
    strong = StrongAugmentation(1.0, 0.2, 1.0)

    def augment(share: Share) -> torch.Tensor:
        return strong(share.local_rows(IMAGES), Draws(keyed_generator(0, "test"), share))

    torch.testing.assert_close(of_processes(2, augment), augment(ALONE))

    def blocks(share: Share) -> torch.Tensor:
        return block_mask(4 // share.ranks, 30, 32, 8, 0.5, Draws(keyed_generator(0, "test"), share))

    assert torch.equal(of_processes(2, blocks), blocks(ALONE))


def halves(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    half = (len(first) + 1) // 2
    return torch.cat([first[:half], second[:half]])


def test_what_joins_images_is_made_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = step().of_whole(halves, IMAGES, 1 - IMAGES)
    assert torch.equal(alone, torch.cat([IMAGES[:2], 1 - IMAGES[:2]]))
    gathered: list[torch.Tensor] = []

    def gather(share: Share, rows: torch.Tensor) -> torch.Tensor:
        """As if other processes had sent theirs."""
        (whole,) = (whole for whole in (IMAGES, 1 - IMAGES) if torch.equal(share.local_rows(whole), rows))
        gathered.append(rows)
        return whole

    monkeypatch.setattr(Share, "gathered", gather)

    def make(share: Share) -> torch.Tensor:
        return step(share).of_whole(halves, share.local_rows(IMAGES), share.local_rows(1 - IMAGES))

    assert torch.equal(of_processes(2, make), alone) and len(gathered) == 4


def test_rows_that_processes_cannot_have_alike_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Share, "gathered", lambda share, rows: IMAGES[:3])
    with pytest.raises(MethodError, match="a batch of 3 gives 4 images to train on: expected a multiple of the 3 proc"):
        step(Share(1, 3)).of_whole(halves, IMAGES[1:2], IMAGES[1:2])


def test_a_mean_over_counted_places_is_that_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    total, count = torch.tensor([3.0, 5.0]), torch.tensor([4, 0])
    assert step().mean_over(total.sum(), count.sum()) == 2.0
    assert step().mean_over(total[0], count[1]) == 3.0  # of nothing: as of one
    monkeypatch.setattr(Share, "_sum", lambda share, value: count.sum())
    losses = [step(Share(rank, 2)).mean_over(total[rank], count[rank]) for rank in range(2)]
    assert sum(losses) / 2 == 2.0


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: torch.rand_like(x),
        lambda x: torch.randn(4, 2),
        lambda x: torch.randn_like(x),
        lambda x: torch.randint(3, (4,)),
        lambda x: torch.randint_like(x, 3),
        lambda x: torch.randperm(4),
        lambda x: torch.normal(x, 1.0),
        lambda x: torch.multinomial(x, 1),
        lambda x: torch.bernoulli(x),
        lambda x: x.bernoulli(),
        lambda x: x.bernoulli_(),
        lambda x: x.uniform_(),
        lambda x: x.normal_(),
        lambda x: torch.nn.functional.gumbel_softmax(x),
    ],
)
def test_a_global_draw_that_would_repeat_on_each_process_is_refused(draw: Callable[[torch.Tensor], object]) -> None:
    def given() -> torch.Tensor:
        return torch.full((4, 2), 0.5)

    draw(given())  # alone there is nothing to share
    with Share(1, 2).noise(), pytest.raises(MethodError, match=r"draws by \w+, which several processes cannot share"):
        draw(given())


def test_torch_rand_is_cut_to_the_process_however_its_size_is_given() -> None:
    for draw in (
        lambda rows: torch.rand(rows, 3),
        lambda rows: torch.rand((rows, 3)),
        lambda rows: torch.rand(size=(rows, 3)),
    ):
        torch.manual_seed(7)
        alone, parts = draw(4), []
        for rank in range(2):
            torch.manual_seed(7)
            with Share(rank, 2).noise():
                parts.append(draw(2))
        assert torch.equal(torch.cat(parts), alone)
    with Share(1, 2).noise():
        assert torch.rand(()).shape == () and torch.rand(3).shape == (3,)
