"""Weights of inference as safetensors: what every framework reads, and no file of which can run code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.core.errors import ConfigError
from methods.pretrained.published_folder import DESCRIPTION

SUFFIX = ".safetensors"


def safe_bytes(state: Mapping[str, Tensor], description: Mapping[str, Any]) -> bytes:
    """The content of a file: the same for the same values, so that it can be told by its digest.

    There is one key of metadata, as the library writes several in no order.
    """
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    return save(tensors, {DESCRIPTION: json.dumps(description, sort_keys=True)})


def read_safe_file(path: Path) -> dict[str, Any]:
    """Return ``{"model": tensors by name}`` and, of a file of ours, the DESCRIPTION.

    Raises:
        ConfigError: it is missing or damaged.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            content: dict[str, Any] = {"model": {name: file.get_tensor(name) for name in file.keys()}}  # noqa: SIM118
            metadata = file.metadata() or {}
        if DESCRIPTION in metadata:
            content[DESCRIPTION] = json.loads(metadata[DESCRIPTION])
    except Exception as error:  # of the library, of the file system, of JSON
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{path}: cannot be read ({reason}), expected weights as safetensors") from None
    return content
