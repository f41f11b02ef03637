"""Whose terms trained weights carry: of the code, of the images and labels, of the weights that training began with.

What stands here was read where the line says; where a publisher's terms were not read, or are not known, their place is
named and nothing is said of what they are.
"""

from __future__ import annotations

from collections.abc import Iterator

from detectron2.config import CfgNode

from benchmarks.config.label_space import roles_of
from benchmarks.data.from_config import learned_roles
from methods.framework.recipes import parse
from methods.networks import NETWORKS
from methods.pretrained.published_folder import is_hub_address
from methods.pretrained.published_weights import DETECTRON2, PUBLISHED, PackagedFile

CODE = "Apache-2.0"

_DATA = {
    "gta": "GTA (Playing for Data, Richter et al., ECCV 2016): the terms at "
    "https://download.visinf.tu-darmstadt.de/data/from_games/",
    "synthia": "SYNTHIA (Ros et al., CVPR 2016): the terms at https://synthia-dataset.net",
    "urbansyn": "UrbanSyn (arXiv 2312.12176): CC BY-SA 4.0, as its page says; https://huggingface.co/datasets/UrbanSyn/UrbanSyn",
    "synscapes": "Synscapes (arXiv 1810.08705): the terms at https://synscapes.on.liu.se",
    "cityscapes": "Cityscapes (Cordts et al., CVPR 2016): non-commercial purposes alone, also of models trained on it, "
    "and a reference to the data set wherever it was used; https://www.cityscapes-dataset.com/license/",
    "acdc": "ACDC (Sakaridis et al., ICCV 2021): the terms at https://acdc.vision.ee.ethz.ch",
    "dark-zurich": "Dark Zurich (Sakaridis et al., ICCV 2019): the terms that come with its download",
}
_IMAGENET = "pre-trained on ImageNet, whose own terms are at https://image-net.org"
_MIT = (
    f"Mix Transformer ({{name}}, NVIDIA): the NVIDIA Source Code License for SegFormer, for non-commercial research or "
    f"evaluation alone, also of what is derived from it; https://github.com/NVlabs/SegFormer; {_IMAGENET}"
)


def data_names(cfg: CfgNode) -> list[str]:
    """The data sets of a run, as a model card lists them."""
    if cfg.DATA.STREETS.SOURCE_IMAGES:
        return ["streets"]
    nodes = [cfg.DATA[role] for role in _roles(cfg)]
    return list(dict.fromkeys(node.LAYOUT if node.LAYOUT in _DATA else node.NAME or "own-data" for node in nodes))


def terms(cfg: CfgNode) -> list[str]:
    """A line for each data set and for the first weights that have terms of their own; none where nothing has."""
    return [*dict.fromkeys(_of_data(cfg)), *_of_weights(cfg)]


def _roles(cfg: CfgNode) -> list[str]:
    """What the run learns from."""
    recipe = parse(cfg.METHOD)
    targets = roles_of(cfg, "TARGET") if recipe.host.teacher else ["TARGET"] if recipe.few_labels else []
    return list(dict.fromkeys([*learned_roles(cfg, recipe), *targets]))


def _of_data(cfg: CfgNode) -> Iterator[str]:
    if cfg.DATA.STREETS.SOURCE_IMAGES:
        return  # drawn by our own code
    for role in _roles(cfg):
        node = cfg.DATA[role]
        name = node.NAME or node.FOLDER or node.IMAGES
        yield _DATA.get(node.LAYOUT, f"DATA.{role} ({name}): data of who trained this, whose terms they know")


def _of_weights(cfg: CfgNode) -> Iterator[str]:
    if cfg.WEIGHTS == "none":
        return
    own = NETWORKS[cfg.NETWORK].weights
    known = own if cfg.WEIGHTS == "imagenet" else PUBLISHED.get(cfg.WEIGHTS)
    if known is None:
        where = "the terms of its page" if is_hub_address(cfg.WEIGHTS) else "the terms of who made them"
        yield f"the weights that training began with ({cfg.WEIGHTS}): {where}"
    elif known.name.startswith("nvidia/mit-"):
        yield _MIT.format(name=known.name)
    elif known.name.startswith("facebook/dinov2-"):
        yield f"DINOv2 ({known.name}, Meta): Apache-2.0, as its model card says; https://github.com/facebookresearch/dinov2"
    elif known.name.startswith("facebook/dinov3-"):
        yield f"DINOv3 ({known.name}, Meta): the terms of the DINOv3 License, on its page of the Hugging Face hub"
    elif known.name.startswith(DETECTRON2):
        zoo = "detectron2's model zoo, https://github.com/facebookresearch/detectron2"
        yield f"{known.name}: the terms of {zoo}; {_IMAGENET}"
    elif isinstance(known, PackagedFile):
        yield f"{known.name}: from the package {known.package}, which names no licence; {_IMAGENET}"
    else:
        yield f"{known.name} ({known.url()}): the terms of its publisher; {_IMAGENET}"
