"""Downloading published weights into the local caches, checked before a file gets its name."""

from __future__ import annotations

import hashlib
import http.client
import os
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from benchmarks.cli.progress import Progress
from benchmarks.core.errors import ConfigError
from benchmarks.core.nearest import did_you_mean
from methods.networks import NETWORKS
from methods.pretrained.published_weights import PUBLISHED, PackagedFile, PublishedWeights, expected_digest, file_sha256
from results.forms.cells import table_of

CHUNK_BYTES = 1 << 20
SILENCE_SECONDS = 30.0  # that a server may take for the next bytes


def named(name: str) -> PublishedWeights:
    """The weights of this name, or the default ones of the network of this name; ConfigError where there is neither."""
    if name in NETWORKS:
        weights = NETWORKS[name].weights
        if weights is None:
            raise ConfigError(f"network {name!r} has no published weights to fetch")
        return weights
    published = _published()
    if name in published:
        return published[name]
    known = [*NETWORKS, *published]
    hints = filter(None, [did_you_mean(name, known, "", quote="'"), "--list shows all"])
    raise ConfigError(f"{name!r} is neither a network nor published weights; {' '.join(hints)}")


def listing() -> str:
    """A line for each of the published weights."""
    rows = [
        (
            weights.name,
            weights.description,
            weights.sha256[:8] or ("by pip" if isinstance(weights, PackagedFile) else "unknown"),
            "yes" if is_here(weights) else "no",
            ", ".join(name for name, spec in NETWORKS.items() if spec.weights is weights),
        )
        for weights in _published().values()
    ]
    return table_of(("weights", "of", "SHA-256", "here", "networks"), rows)


def _published() -> dict[str, PublishedWeights]:
    """Published weights by name, with those that networks of a user's own came with."""
    found = dict(PUBLISHED)
    for spec in NETWORKS.values():
        if spec.weights is not None:
            found.setdefault(spec.weights.name, spec.weights)
    return found


def is_here(weights: PublishedWeights) -> bool:
    """Whether this machine has the file, with the recorded content."""
    path = weights.cached()
    return path is not None and (not weights.sha256 or file_sha256(path).startswith(weights.sha256))


def fetch(weights: PublishedWeights) -> str:
    """Download the file unless it is here, and return the line that tells the user how it went.

    Raises ConfigError, one line, where it cannot be had or is not what its publisher recorded; nothing is then left.
    """
    if isinstance(weights, PackagedFile) or is_here(weights):
        return f"{weights.name}: here already, {weights.cached() or weights.find()}"
    destination = weights.destination()
    digest = download(weights.name, weights.url(), destination, weights.sha256, weights.access(), weights.token())
    if not weights.sha256:
        told = f"SHA-256 {digest}, which could not be compared: its publisher records none"
    elif len(weights.sha256) < len(digest):
        told = f"SHA-256 {digest}, whose first digits are those its publisher records"
    else:
        told = f"SHA-256 {digest} as recorded"
    return f"{weights.name}: {destination}, {told}"


def download(
    name: str, url: str, destination: Path, sha256: str, access: str = "", token: str | None = None
) -> str:
    """Download ``url``, and give it its name ``destination`` when it is whole and its content the recorded one.

    Args:
        name: what the user calls it.
        url: the address.
        destination: the file; its folder is made, a file that is there is replaced.
        sha256: hexadecimal digest or its first digits; "" where none is known.
        access: how one is let to it, for the line where one is not.
        token: sent to that address, and to none that it leads on to.

    Returns:
        The SHA-256 of what came, 64 hexadecimal digits.

    Raises:
        ConfigError: one line with the address and the place to put the file by hand.
    """
    by_hand = f"; fetch {url} by other means and put it at {destination}"
    partial = destination.with_name(f"{destination.name}.{os.getpid()}.part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        digest = _stream(name, url, partial, token)
        if not digest.startswith(sha256):
            raise ConfigError(
                f"weights {name}: what {url} sent has SHA-256 {digest}, expected {expected_digest(sha256)}; "
                "nothing of it was kept"
            )
        partial.replace(destination)
    except (OSError, http.client.HTTPException) as error:
        refused = isinstance(error, HTTPError) and error.code in (401, 403) and access
        way_out = f": {access}" if refused else by_hand
        raise ConfigError(f"weights {name}: not fetched, {_reason(error)}{way_out}") from error
    finally:
        if partial.exists():
            partial.unlink()
    return digest


def _stream(name: str, url: str, file: Path, token: str | None) -> str:
    """Write what the address sends to ``file`` and return its SHA-256; OSError where it ends early.

    torch.hub's `download_url_to_file` waits for ever for a silent server, takes what ended early for whole where no
    digest is known, and does not tell the digest.
    """
    digest, received = hashlib.sha256(), 0
    request = Request(url, headers={"User-Agent": "segshift"})
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    with urlopen(request, timeout=SILENCE_SECONDS) as response, file.open("wb") as out:
        length = response.headers.get("Content-Length")
        expected = int(length) if length is not None else None
        with Progress(f"fetching {name}", (expected or 0) / 1e6, "MB", stderr=True) as progress:
            progress.tell(url, force=True)
            while chunk := response.read(CHUNK_BYTES):
                out.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                progress.reach(received / 1e6)
    if expected is not None and received != expected:
        raise ConnectionError(f"the connection ended after {received} of {expected} bytes")
    return digest.hexdigest()


def _reason(error: BaseException) -> str:
    if isinstance(error, HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, URLError):
        return f"no connection ({error.reason})"
    if isinstance(error, TimeoutError):
        return f"the server said nothing for {SILENCE_SECONDS:g} seconds"
    return str(error) or type(error).__name__
