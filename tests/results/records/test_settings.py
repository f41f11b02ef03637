"""Keys of many configs: read part by part, they are what the whole text says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from detectron2.config import CfgNode

from benchmarks.config.keys import flatten
from results.files.bounded_yaml import load
from results.records import settings
from results.records.settings import settings_in


def flat_keys(text: str) -> dict[str, Any]:
    return settings_in(text).every


def whole(text: str) -> dict[str, Any] | None:
    """The flat keys by a parse of all of it; None where it is no YAML of keys."""
    try:
        content = load(text)
    except (ValueError, yaml.YAMLError):
        return None
    return settings._flat(content, "") if isinstance(content, dict) else None


@pytest.mark.parametrize(
    "text",
    [
        "A:\n  B: 1\n  C:\n    D: x\n    E: [1, 2]\nF: 2\n",
        "A:\n  B:\n  - 1\n  - 2\n  C:\n  - a: 1\n    b: 2\n",
        "A:\n  B: one\n    two\n  C: 'three\n\n    four'\n",
        "A:\n  B: |\n    one: 1\n\n    two: 2\n  C: >-\n      three\n",
        "A:\n  B: |2\n     one\n  C: 1\n",
        "A:\n  B: 'open\n  C: closed'\nD: 1\n",
        "A:\n  B: {C: 1,\n  D: 2}\n",
        "A: {}\nB: []\nC:\nD: null\n",
        "A:\n    B: 1\n    C: 2\n",
        "A:\n   B: 1\n   C: 2\n",
        "A:\n  B: 1\n   C: 2\n",
        "A:\n  B: 1\n C: 2\n",
        "A: 1\n  B: 2\n",
        "A: 1\nA: 2\n",
        "A:\n  B: {C: 1}\n  B: {D: 2}\n",
        "yes: {B: 1}\ntrue: {C: 2}\n",
        "A:\n  1: {B: 1}\n  01: {C: 2}\n",
        "A: 1\n...\nB: 2\n",
        "A:\n  B: 1\n  ...\n  C: 2\n",
        "A:\n  B: x\n    ...\n  C: 2\n",
        "A: 1\n---\nB: 2\n",
        "A: &a {B: 1}\nC: *a\n",
        "A:\n  B: &a 1\n  C: &a 2\nD: *a\n",
        "A:\n  B: 1 # one\n  # two\n  C: 2\n# three\nD: 3\n",
        "\nA:\n\n  B: 1\n\nC: 2\n",
        "A: 1\u2028B: 2\nC: 3\n",
        "A:\n  B: 1\u2028C: 2\n",
        "A:\n\tB: 1\n",
        "A: [1\nB: 2]\n",
        "A:\n  B: [1\n  C: 2\n",
        "A:\n- 1\nB: 2\n",
        "A:\n  text\n  B: 1\n",
        "A:\n  '\n  B: 1'\n",
        "A: 1\nB",
        "A: 1",
        "A: 1\nMETHOD: dacs+mrm\nB: x\nSEED: 12\nC: 3\n",
        "A: 1\nMETHOD: yes\nSEED: 010\nB: 1e3\n",
        "METHOD: a\nSEED: 1\nB: x\n",
        "\nA: x\nB: 1\n",
        "A: 1\nSEED: 1\n  2\nB: 1\n",
        "A: 1\nSEED: 1\nSEED: 2\nB: 1\n",
        "A: 1\nSEED: -\nB: 1\n",
        "A: 1\nMETHOD: ---\nB: 1\n",
        "A: 1\nSEED: 1\n\nB: 1\n",
        "A: 1\nSEED: 1\n- 2\nB: 1\n",
        "A: 'x\nSEED: 1\nB: y'\n",
        "A: |\n  x\nSEED: 1\nB: y\n",
        "A: 1\nSEED: 1\nB: &a 2\nC: *a\n",
        "A: 1\nSEED: 1\nB\n",
        "- A: 1\n",
        "",
    ],
)
def test_parts_are_what_the_whole_is(text: str) -> None:
    expected = whole(text)
    if expected is None:
        with pytest.raises((ValueError, yaml.YAMLError)):
            flat_keys(text)
    else:
        assert flat_keys(text) == expected
        assert list(flat_keys(text)) == list(expected)


def test_too_deep_by_parts_is_too_deep() -> None:
    text = "".join(f"{'  ' * level}A:\n" for level in range(70))
    with pytest.raises(yaml.YAMLError, match="nesting"):
        flat_keys(text)


def test_the_config_of_a_run_by_parts(small_config: Callable[..., CfgNode], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a second run that differs in two values, these two lines alone are read; of one of another seed, that."""
    settings._part.cache_clear()  # which other tests may have filled
    settings._plain.cache_clear()
    texts = [small_config("dacs+mrm", seed, {"TERMS.MRM.RATIO": 0.31 + seed * 0.0625}).dump() for seed in (0, 1)]
    first = flat_keys(texts[0])
    assert first == whole(texts[0])
    assert set(first) == set(flatten(small_config("dacs+mrm")))
    read: list[str] = []

    def noted(text: str) -> Any:
        read.append(text)
        return load(text)

    monkeypatch.setattr(settings, "load", noted)
    second = flat_keys(texts[1])
    assert sorted(read) == ["RATIO: 0.3725\n", "SEED: 1\n"]
    assert second == whole(texts[1]) and second["TERMS.MRM.RATIO"] == 0.3725
    third = texts[1].replace("\nSEED: 1\n", "\nSEED: 31\n").replace("\nMETHOD: dacs+mrm\n", "\nMETHOD: mine\n")
    expected = whole(third)
    monkeypatch.setattr(settings, "_by_parts", pytest.fail)
    assert flat_keys(third) == expected and (expected or {})["METHOD"] == "mine" and (expected or {})["SEED"] == 31
