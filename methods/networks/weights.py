"""Loading weights: any published file of an encoder, or a whole segmentor, or one line that says why not."""

import contextlib
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods.base.errors import MethodError
from methods.networks.segmentor import Segmentor
from methods.pretrained.pickled_numbers import SAFE, PickledArray
from methods.pretrained.published_folder import WEIGHTS_FILE, check_digest, described, hub_folder, is_hub_address

# What checkpoints wrap a state dict in, and what training code puts before the names.
_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "model.", "student.", "backbone.", "segformer.")
# A folder as Hugging Face lays it out, best first.
_FOLDER_FILES = (WEIGHTS_FILE, "pytorch_model.bin")
_ATTENTION = "attention."
_KEYS_SHOWN = 3
# How torch names what it does not read with `weights_only=True`.
_REFUSED = re.compile(r"\bGLOBAL ([\w.]{1,200})")


def load_weights(segmentor: Segmentor, path: str) -> None:
    """Load the file or Hugging Face folder `path` into `segmentor`, in place.

    A checkpoint with `decoder.` keys is a whole Segmentor and is loaded entirely; any other is the encoder's, in its
    own or a published spelling (`Encoder.rename_checkpoint`). ImageNet classifier keys are left behind. The attention
    of a segmentor of two resolutions stays behind where `segmentor` has none, and as it is where the file has none.

    Raises MethodError, one line with counts, first keys and shapes, where a key is missing, unexpected or of another
    shape; the segmentor is then unchanged. Raises MethodError too for a file that cannot be read.
    """
    state = _without_prefixes(read_state_dict(path))
    encoder = segmentor.encoder
    if any(key.startswith("decoder.") for key in state):
        parts = {key.removeprefix("encoder."): value for key, value in state.items() if key.startswith("encoder.")}
        rest = {key: value for key, value in state.items() if not key.startswith("encoder.")}
        state = rest | {f"encoder.{key}": value for key, value in encoder.rename_checkpoint(parts).items()}
        own = segmentor.state_dict()
        state, own = _both_or_neither(_ATTENTION, state, own)
    else:
        state = {key: v for key, v in state.items() if not key.startswith(encoder.classifier_prefixes or ("\0",))}
        state = {f"encoder.{key}": value for key, value in encoder.rename_checkpoint(state).items()}
        own = {key: value for key, value in segmentor.state_dict().items() if key.startswith("encoder.")}
    about = described(weights_file(Path(path)))
    _check(state, own, f"weights {path}: do not fit {segmentor.name}" + (f", they are of {about}" if about else ""))
    segmentor.load_state_dict(state, strict=False)


def _both_or_neither(
    prefix: str, state: dict[str, Tensor], own: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Both without their keys under `prefix`, unless both have some."""
    if all(any(key.startswith(prefix) for key in keys) for keys in (state, own)):
        return state, own
    without = [{key: value for key, value in keys.items() if not key.startswith(prefix)} for keys in (state, own)]
    return without[0], without[1]


def weights_file(path: Path) -> Path:
    """The file itself, or the one that a Hugging Face folder holds; a folder without one as it is.

    Of an address (``hf:owner/name@revision``) it is in the hub's local cache, and downloaded where it is not.

    Raises MethodError, one line, where that cannot be, or SHA256SUMS beside it has another digest of the file.
    """
    if is_hub_address(str(path)):
        return hub_folder(str(path)) / WEIGHTS_FILE
    found = [path / name for name in _FOLDER_FILES if (path / name).is_file()] if path.is_dir() else []
    file = found[0] if found else path
    if file.is_file():
        check_digest(file)
    return file


def read_state_dict(path: str) -> dict[str, Tensor]:
    """The state dict in a .safetensors file, a detectron2 .pkl, a torch checkpoint, or a folder that holds one.

    No file can run code: torch checkpoints are read with `weights_only=True` and may hold numbers and arrays of numpy
    beside (`pickled_numbers`), a .pkl may hold plain data and numpy arrays only. Wrappers ({"state_dict": ...},
    {"model": ...}) are taken off.
    """
    file = weights_file(Path(path))
    if file.is_dir():
        raise MethodError(f"weights {path}: the folder holds none of {', '.join(_FOLDER_FILES)}")
    try:
        content = _read(file)
    except (
        Exception
    ) as error:  # three readers, and each has exceptions of its own for a file cut short or of another kind
        raise MethodError(f"weights {path}: cannot be read ({_reason(error)})") from error
    while isinstance(content, Mapping):
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    found = {key: _tensor(value) for key, value in content.items()} if isinstance(content, Mapping) else {}
    state = {key: tensor for key, tensor in found.items() if tensor is not None}
    if not state:
        raise MethodError(f"weights {path}: no state dict found, expected a mapping of parameter names to tensors")
    return state


def _read(file: Path) -> Any:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    if file.suffix == ".pkl":
        with file.open("rb") as stream:
            return _ArraysOnly(stream, encoding="latin1").load()
    with torch.serialization.safe_globals(SAFE):
        return torch.load(file, map_location="cpu", weights_only=True)


class _ArraysOnly(pickle.Unpickler):
    """Reads detectron2's model zoo: arrays as numpy 1 and 2 pickle them, under Python 2 or 3, and nothing that runs."""

    # Rebuilding an array calls these; numpy moved the first two from numpy.core to numpy._core.
    _ALLOWED = (
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
        ("collections", "OrderedDict"),
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module.replace("numpy._core", "numpy.core"), name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it holds more than arrays: {module}.{name}")
        if module.startswith("numpy.core.") and hasattr(np, "_core"):
            module = module.replace("numpy.core", "numpy._core")
        return super().find_class(module, name)


def _reason(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError) and (refused := _REFUSED.search(str(error))):
        return (
            f"it holds {refused[1]}, expected tensors, numbers and text: more could run code. If you trust the file, "
            "torch.load it with weights_only=False in Python, and torch.save its state dict to another one"
        )
    if isinstance(error, pickle.UnpicklingError) and "more than arrays" not in str(error):
        return "not a torch checkpoint, or one that holds more than tensors"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _tensor(value: Any) -> Tensor | None:
    """What a state dict has under a name; None for anything but numbers."""
    if isinstance(value, PickledArray):
        value = value.array
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
        with contextlib.suppress(TypeError):  # of a type that torch lacks, such as long double
            return torch.as_tensor(value)
    return None


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keys without what training code put before them; keys beside the prefixed ones (a classifier) stay."""
    for _ in _PREFIXES:
        prefix = next((p for p in _PREFIXES if any(key.startswith(p) for key in state)), None)
        if prefix is None:
            break
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _check(state: Mapping[str, Tensor], own: Mapping[str, Tensor], complaint: str) -> None:
    # Checkpoints older than torch 0.4.1, and detectron2's, do not count batches; nothing here reads the count.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    reshaped = [
        f"{key} (file {_shape(state[key])}, network {_shape(own[key])})"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    faults = (("missing", missing), ("unexpected", unexpected), ("of other shape", reshaped))
    told = [f"{len(keys)} {kind}: {_first(keys)}" for kind, keys in faults if keys]
    if told:
        raise MethodError(f"{complaint}: {'; '.join(told)}")


def _first(keys: Iterable[str]) -> str:
    keys = [key.removeprefix("encoder.") for key in keys]
    return ", ".join(keys[:_KEYS_SHOWN]) + (", ..." if len(keys) > _KEYS_SHOWN else "")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
