"""Multiply-adds of the networks, worked out by hand from their papers' tables: what counts are compared with.

S: side of a square image in pixels. Norms cost 2 (batch norm) and 5 (layer norm) a value, bilinear interpolation 4 a
value made; with ``norms=False`` only convolutions, linear layers and attention are counted.
"""

from __future__ import annotations

from collections.abc import Sequence

K = 19


def conv(kernel: int, inputs: int, outputs: int, pixels: int) -> int:
    return kernel * kernel * inputs * outputs * pixels


def resnet(depth: int, side: int, norms: bool = True) -> int:
    """Deep stem, output stride 8; strides in the 3x3."""
    bn = 2 if norms else 0
    half, size = (side // 2) ** 2, side // 4
    total = conv(3, 3, 32, half) + conv(3, 32, 32, half) + conv(3, 32, 64, half) + bn * (32 + 32 + 64) * half
    inputs = 64
    third = {50: 6, 101: 23}[depth]
    for blocks, middle, stride in ((3, 64, 1), (4, 128, 2), (third, 256, 1), (3, 512, 1)):
        outputs = 4 * middle
        for block in range(blocks):
            before = size**2
            size //= stride if block == 0 else 1
            after = size**2
            total += conv(1, inputs, middle, before) + bn * middle * before
            total += conv(3, middle, middle, after) + bn * middle * after
            total += conv(1, middle, outputs, after) + bn * outputs * after
            if block == 0:
                total += conv(1, inputs, outputs, after) + bn * outputs * after
            inputs = outputs
    return total


def deeplabv2_head(side: int, branches: int = 2) -> int:
    return branches * conv(3, 2048, K, (side // 8) ** 2)


def deeplabv3plus_head(side: int) -> int:
    """ASPP of width 256 at stride 8 with image pooling, 48 channels of stride 4, two 3x3 convolutions."""
    coarse, fine = (side // 8) ** 2, (side // 4) ** 2
    total = conv(1, 2048, 256, coarse) + 3 * conv(3, 2048, 256, coarse) + 4 * 2 * 256 * coarse
    total += 2048 * coarse + conv(1, 2048, 256, 1) + 4 * 256 * coarse  # pooled, projected, spread out again
    total += conv(1, 5 * 256, 256, coarse) + 2 * 256 * coarse
    total += 4 * 256 * fine  # upsampled
    total += conv(1, 256, 48, fine) + 2 * 48 * fine
    total += conv(3, 256 + 48, 256, fine) + conv(3, 256, 256, fine) + 2 * 2 * 256 * fine
    return total + conv(1, 256, K, fine)


def mit_b0(side: int) -> int:
    total, inputs = 0, 3
    for stage, (width, reduction) in enumerate(((32, 8), (64, 4), (160, 2), (256, 1))):
        tokens = (side // 2 ** (stage + 2)) ** 2
        reduced = tokens // reduction**2
        total += conv(7 if stage == 0 else 3, inputs, width, tokens) + 5 * width * tokens
        for _ in range(2):
            total += 2 * 5 * width * tokens  # two layer norms
            total += 2 * width**2 * tokens + 2 * width**2 * reduced  # query, output; key, value
            total += 2 * tokens * reduced * width  # the two products of attention
            if reduction > 1:
                total += conv(reduction, width, width, reduced) + 5 * width * reduced
            total += 2 * 4 * width**2 * tokens + 9 * 4 * width * tokens  # MLP, and the depthwise convolution in it
        total += 5 * width * tokens
        inputs = width
    return total


def vit(channels: int, blocks: int, side: int, patch: int, extra: int, learned: int = 0) -> int:
    """A plain Vision Transformer; ``learned`` positions a side are interpolated by rows, then by columns."""
    grid = side // patch
    patches, tokens = grid**2, grid**2 + extra
    total = conv(patch, 3, channels, patches)
    if learned:
        total += grid * learned * learned * channels + grid * learned * grid * channels  # two products of matrices
        total += 2 * 16 * learned * grid  # their bicubic weights
    linear = 4 * channels**2 + 2 * 4 * channels**2  # query, key, value, output; MLP
    total += blocks * (linear * tokens + 2 * tokens**2 * channels + 2 * 5 * channels * tokens)
    return total + 5 * channels * patches  # the final norm, of patches alone


def lite0(side: int, norms: bool = True) -> int:
    bn = 2 if norms else 0
    size = side // 2
    total, inputs = conv(3, 3, 32, size**2) + bn * 32 * size**2, 32
    for expand, kernel, stride, outputs, blocks in (
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    ):
        for block in range(blocks):
            middle = inputs * expand
            if expand > 1:
                total += conv(1, inputs, middle, size**2) + bn * middle * size**2
            size //= stride if block == 0 else 1
            total += kernel**2 * middle * size**2 + bn * middle * size**2
            total += conv(1, middle, outputs, size**2) + bn * outputs * size**2
            inputs = outputs
    return total


def tiny(side: int, norms: bool = True) -> int:
    bn = 2 if norms else 0
    total, inputs = 0, 3
    for stage, outputs in enumerate((8, 8, 12, 16, 24)):
        pixels = (side // 2 ** (stage + 1)) ** 2
        total += conv(3, inputs, outputs, pixels) + bn * outputs * pixels
        inputs = outputs
    return total + tiny_block(side, norms)


def tiny_block(side: int, norms: bool = True) -> int:
    """The residual block, the last."""
    pixels = (side // 32) ** 2
    return conv(3, 24, 24, pixels) + (2 if norms else 0) * 24 * pixels


def daformer_head(channels: Sequence[int], width: int, side: int, norms: bool = True) -> int:
    """Strides 4, 8, 16, 32."""
    bn, bilinear = (2, 4) if norms else (0, 0)
    fine, fused = (side // 4) ** 2, 4 * width
    total = sum(conv(1, inputs, width, (side // 2 ** (stage + 2)) ** 2) for stage, inputs in enumerate(channels))
    total += 3 * bilinear * width * fine
    total += conv(1, fused, width, fine) + bn * width * fine
    total += 3 * (9 * fused * fine + bn * fused * fine + conv(1, fused, width, fine) + bn * width * fine)
    total += conv(3, 4 * width, width, fine) + bn * width * fine
    return total + conv(1, width, K, fine)


def rebuilder_blocks(dim: int, tokens: int, blocks: int, norms: bool = True) -> int:
    linear = 3 * dim**2 + dim**2 + 2 * 4 * dim**2  # query, key, value; output; MLP
    return blocks * (linear * tokens + 2 * tokens**2 * dim + (2 * 5 * dim * tokens if norms else 0))


def rebuilder_projector(dim: int, outputs: int, doublings: int, side: int, norms: bool = True) -> int:
    """Transposed convolutions of kernel 4 and stride 2 work on their inputs' pixels."""
    widths = {0: (dim,), 1: (dim, dim // 2), 2: (dim, dim // 2, dim // 4), 3: (dim, dim // 2, dim // 4, dim // 4)}
    total = 0
    for index in range(doublings):
        width = widths[doublings][index]
        total += 5 * width * side**2 if norms and index else 0
        total += conv(4, width, widths[doublings][index + 1], side**2)
        side *= 2
    return total + conv(1, widths[doublings][-1], outputs, side**2) + (5 * outputs * side**2 if norms else 0)
