"""A Hugging Face hub without a network: a local cache in the hub's layout, and a stand-in for the download into it."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub
import pytest

COMMIT, OLDER = "c" * 40, "0" * 40
NAME = "somebody/streets-dacs"


class FakeHub:
    """The repository NAME, which holds a published folder at COMMIT on its main branch.

    Attributes:
        asked: the files that were downloaded, with the revision that was asked for.
        error: raised in place of the next download.
    """

    def __init__(self, published: Path, cache: Path) -> None:
        self._published, self._repository = published, cache / "models--somebody--streets-dacs"
        self.asked: list[tuple[str, str | None]] = []
        self.error: Exception | None = None

    @property
    def snapshot(self) -> Path:
        """Where the cache has the files of COMMIT."""
        return self._repository / "snapshots" / COMMIT

    def fetched(self) -> None:
        """Fill the cache, as an earlier command did."""
        for path in self._published.iterdir():
            self._fetch(path.name)

    def download(self, repo_id: str, filename: str, *, revision: str | None = None) -> str:
        """In place of `huggingface_hub.hf_hub_download`."""
        if self.error is not None:
            raise self.error
        assert repo_id == NAME and revision in (None, "main", COMMIT)
        self.asked.append((filename, revision))
        return str(self._fetch(filename))

    def _fetch(self, name: str) -> Path:
        self.snapshot.mkdir(parents=True, exist_ok=True)
        (self._repository / "refs").mkdir(exist_ok=True)
        (self._repository / "refs/main").write_text(COMMIT)
        return Path(shutil.copy(self._published / name, self.snapshot / name))


def fake_hub(published: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """The hub of this test."""
    hub = FakeHub(published, cache)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub.download)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return hub
