"""Random draws as a function of a key, not of a stream.

Every draw of a method comes from a generator keyed by (run seed, name, iteration), and the global generator, from which
networks draw dropout and drop path, is seeded by such a key before each network pass. So what a method draws does not
depend on the methods beside it, and a resumed run draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import hashlib

import torch


def key_seed(*key: int | str) -> int:
    """A 63-bit seed that is the same for the same key in every process and on every machine."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def keyed_generator(*key: int | str) -> torch.Generator:
    """A CPU generator for this key. Draws are made on the CPU, so that a GPU run draws the same values."""
    return torch.Generator().manual_seed(key_seed(*key))


def seed_pass(*key: int | str) -> None:
    """Seed torch's global generators before a network pass (dropout, drop path) or before a network is initialized.

    Those in use: `torch.manual_seed` takes a millisecond to tell each kind of device that is not there.
    """
    seed, accelerator = key_seed(*key), torch.accelerator.current_accelerator()
    if accelerator is not None and accelerator.type != "cuda":
        torch.manual_seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # else nothing was drawn there, and the first pass on it is seeded when it is
        torch.cuda.manual_seed_all(seed)
