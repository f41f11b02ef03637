"""Folders of weights that ``benchmarks/publish.py`` wrote, on this machine or on the Hugging Face hub.

A name ``hf:owner/name`` or ``hf:owner/name@revision`` is the one thing here that downloads: the user wrote it. The
hub's local cache is looked into first, so that what was fetched once needs no network again.
"""

import json
import re
from pathlib import Path

from methods.base.errors import MethodError
from methods.pretrained.published_weights import file_sha256

HUB = "hf:"
WEIGHTS_FILE, DIGESTS = "model.safetensors", "SHA256SUMS"
DESCRIPTION = "segshift"
"""Key of the metadata of published weights, and of an exported checkpoint, that says what they are of."""
_ADDRESS = re.compile(r"hf:([\w.-]+/[\w.-]+?)(?:@([\w.-]+))?")
_COMMIT = re.compile("[0-9a-f]{40}")
_LINE = re.compile(r"([0-9a-f]{64})[ ][ *](.+)")
_LONGEST = 2**20  # bytes of digests


def is_hub_address(name: str) -> bool:
    """Whether a name of weights is of the Hugging Face hub."""
    return name.startswith(HUB)


def pinned(address: str) -> str:
    """The address with the commit that it stands for now, as ``hf:owner/name@<40 digits>``; others as they are.

    Raises MethodError, one line, where it cannot be found out.
    """
    if not is_hub_address(address):
        return address
    repository, revision = _parts(address)
    if revision and _COMMIT.fullmatch(revision):
        return address
    return f"{HUB}{repository}@{_hub_file(address, DIGESTS).parent.name}"


def hub_folder(address: str, names: tuple[str, ...] = (WEIGHTS_FILE,)) -> Path:
    """The folder in the hub's local cache with these files of a published folder, and its digests, all compared.

    Raises MethodError, one line: huggingface_hub is not installed; no network; no such repository, revision or file; a
    file of another digest.
    """
    fixed = pinned(address)
    files = [_hub_file(fixed, name) for name in (DIGESTS, *names)]
    for file in files[1:]:
        check_digest(file)
    return files[0].parent


def check_digest(file: Path) -> None:
    """Raise MethodError where SHA256SUMS stands beside a file and has another digest of it."""
    sums = file.parent / DIGESTS
    if not sums.is_file():
        return
    try:
        with sums.open(encoding="utf-8") as lines:
            found = [match for line in lines.read(_LONGEST).splitlines() if (match := _LINE.fullmatch(line))]
    except (OSError, UnicodeDecodeError) as error:
        raise MethodError(f"{sums}: cannot be read ({error}), expected lines of digests and names") from None
    for expected in [match[1] for match in found if match[2] == file.name]:
        if (digest := file_sha256(file)) != expected:
            raise MethodError(f"{file}: has SHA-256 {digest}, expected {expected} of {DIGESTS} beside it")


def described(file: Path) -> str:
    """What published weights are of, as "daformer-lite0 with 19 classes"; "" for those of others."""
    try:
        from safetensors import safe_open

        with safe_open(file, "np") as content:
            about = json.loads((content.metadata() or {})[DESCRIPTION])
        return f"{about['config']['NETWORK']} with {len(about['class_names'])} classes"
    except Exception:  # of the library, of a file of others: it says nothing of itself
        return ""


def _parts(address: str) -> tuple[str, str | None]:
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise MethodError(f"weights {address}: expected hf:owner/name or hf:owner/name@revision")
    return match[1], match[2]


def _hub_file(address: str, name: str) -> Path:
    """A file of a repository: in the local cache, or downloaded into it."""
    repository, revision = _parts(address)
    try:
        from huggingface_hub import errors, hf_hub_download, try_to_load_from_cache
    except ImportError:
        raise MethodError(
            f"weights {address}: the package huggingface_hub is not installed, which fetches them; install it, or give "
            "the path of a folder that was fetched by other means"
        ) from None
    cached = try_to_load_from_cache(repository, name, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    at = f"revision {revision}" if revision else "its main branch"
    try:
        return Path(hf_hub_download(repository, name, revision=revision))
    except errors.LocalEntryNotFoundError:
        reason = f"{name} is not in the local cache, and there is no network (or HF_HUB_OFFLINE forbids it)"
    except errors.GatedRepoError:
        reason = f"{repository} is gated: ask for access on its page, and log in with the command hf auth login"
    except errors.RepositoryNotFoundError:
        reason = f"no such repository on the hub, or a private one (hf auth login): {repository}"
    except errors.RevisionNotFoundError:
        reason = f"{repository} has no {at}"
    except errors.EntryNotFoundError:
        reason = f"{repository} has no {name} in {at}, expected what benchmarks/publish.py writes"
    except Exception as error:  # of a connection, which has as many kinds as there are libraries below
        told = str(error).strip().splitlines() or [type(error).__name__]
        reason = f"{name} could not be fetched ({told[0]})"
    raise MethodError(f"weights {address}: {reason}")
