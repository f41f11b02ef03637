"""What every encoder E is: images in, a list of feature maps out, and the spellings of its published checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from methods.layers.checkpointing import checkpointed

# RGB, in [0, 1] units: the statistics nearly every ImageNet network was trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Encoder(nn.Module):
    """Base of the encoders. A subclass sets `channels`, `strides` and writes the methods at the end.

    `forward` takes images (B, 3, H, W), float, RGB in [0, 1], and returns exactly the features that its decoder
    consumes, finest first: entry i is (B, channels[i], H / strides[i], W / strides[i]). The normalisation that the
    pretrained weights want happens inside, so that no caller needs to know which network it feeds.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    # Whether weight decay applies to the parameters of normalisation layers.
    decay_norms: bool = True
    # Prefixes of checkpoint keys that belong to the ImageNet classifier and are left behind without a word.
    classifier_prefixes: tuple[str, ...] = ()
    # Whether `residual_blocks` keep only their inputs for backward in training: less memory, one more forward pass.
    checkpointing: bool = False
    # Whether nothing of it is trained: see `freeze`.
    frozen: bool = False

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, pixel_mean: Sequence[float] = IMAGENET_MEAN, pixel_std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        # Not persistent: they are a property of the pretrained weights, and no checkpoint has a say in them.
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W), RGB in [0, 1] -> features, finest first."""
        x = self.normalise(images)
        if not (self.checkpointing and self.training and torch.is_grad_enabled()):
            return self.extract(x)
        with checkpointed(self.residual_blocks()):
            return self.extract(x)

    def freeze(self) -> None:
        """Take all parameters as constants from now on, and stay in eval mode.

        So drop path is off, and batch norms use the statistics that they have.
        """
        self.frozen = True
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Encoder:
        return super().train(mode and not self.frozen)

    def normalise(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> the same shape with `pixel_mean` taken off and divided by `pixel_std`."""
        return (images - self.pixel_mean) / self.pixel_std

    def extract(self, x: Tensor) -> list[Tensor]:
        """Normalised images (B, 3, H, W) -> features, finest first."""
        raise NotImplementedError

    def residual_blocks(self) -> Iterable[nn.Module]:
        """The residual or transformer blocks, each of which can be computed again from its input."""
        raise NotImplementedError

    def layers(self) -> list[list[nn.Parameter]]:
        """Return its parameters by depth, the first layer first, for rates that fall with it; [] if nobody said."""
        return []

    def repeated_parts(self) -> Iterable[nn.Module]:
        """The parts worth compiling (SOLVER.COMPILE): modules of few kinds, each of which makes tensors of tensors."""
        return self.residual_blocks()

    def rename_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict with every published spelling of this encoder's parameters turned into its own names.

        Names that are already its own, and names nobody knows, stay as they are: of an encoder that nobody has
        published, all do.
        """
        return dict(state)
