"""The scale attention of HRDA: how much each class of each place is read from the detail (Hoyer et al., ECCV 2022)."""

from __future__ import annotations

from torch import nn

from methods.base.errors import MethodError
from methods.decoders.convolutional import DAFormerDecoder, DeepLabV2Decoder
from methods.decoders.patch_decoders import LinearDecoder
from methods.networks.segmentor import Segmentor


def scale_attention(segmentor: Segmentor) -> nn.Module:
    """A new head that takes the features of one scale, as the segmentor's decoder does, and gives its shape of logits.

    A sigmoid makes them the attention, class by class. The head is of the decoder's kind, as in the authors' public
    code (HRDAHead): for DAFormer's decoder the embeddings of its width, fused by a 1x1 convolution with batch norm and
    ReLU in place of ASPP and bottleneck; for DeepLabV2's another one with the same dilations. A linear decoder, which
    their code has not, gets another linear one.

    Raises MethodError for any other decoder: the paper has no attention for it.
    """
    decoder, channels = segmentor.decoder, segmentor.encoder.channels
    if isinstance(decoder, DAFormerDecoder):
        head = DAFormerDecoder(channels, decoder.classifier.out_channels, decoder.classifier.in_channels)
        head.aspp = head.aspp[:1]  # its 1x1 branch
        head.bottleneck = nn.Sequential()
        return head
    if isinstance(decoder, DeepLabV2Decoder):
        branches = [branch for branch in decoder.branches if isinstance(branch, nn.Conv2d)]
        dilations = [int(branch.dilation[0]) for branch in branches]
        return DeepLabV2Decoder(channels[-1], branches[0].out_channels, dilations)
    if isinstance(decoder, LinearDecoder):
        return LinearDecoder(channels[-1], decoder.classifier.out_channels)
    raise MethodError(
        f"network {segmentor.name!r}: HRDA has a scale attention for DAFormer's, DeepLabV2's and the linear decoder, "
        f"found {type(decoder).__name__}; name a network daformer-*, deeplabv2-* or dinov*-linear"
    )
