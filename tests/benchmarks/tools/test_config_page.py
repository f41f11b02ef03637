"""docs/config.md says of every config key its default, its values and its meaning, as the code has them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from benchmarks.config.keys import SET_ELSEWHERE, SOURCES, TARGETS, WORD_KEYS, flatten, get_config, ranges
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.tools.config_page import PAGE, Key, page, sections
from benchmarks.tools.source_comments import by_attribute, by_field
from methods.base.ranges import share
from methods.framework.term import TERMS, Term, TermSettings, term


@pytest.fixture(scope="module")
def keys() -> dict[str, Key]:
    return {key.name: key for section in sections() for key in section.keys}


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m benchmarks.tools.config_page writes it anew"


def test_every_key_and_section_has_a_meaning(keys: dict[str, Key]) -> None:
    further = tuple(f"DATA.{role}." for role in (*SOURCES[1:], *TARGETS[1:]))  # have the keys of the first
    ours = {name for name in flatten(get_config()) if not name.startswith(("TERMS.", *further))}
    assert ours < set(keys) and not any(name.startswith(further) for name in keys)
    assert {"TERMS.MRM.RATIO", "TERMS.MIC.WEIGHT", "TERMS.FEATURE_DISTANCE.CLASSES"} < set(keys)
    assert [key.name for key in keys.values() if not key.meaning] == []
    assert [section.name for section in sections() if section.name and not section.about] == []


@pytest.mark.parametrize(
    ("name", "default", "values", "meaning"),
    [
        ("SOLVER.ITERS", 40000, "a whole number of at least 1", "training steps"),
        ("SOLVER.PRECISION", "fp32", "fp32, tf32, bf16 or fp16", "autocast"),
        ("INPUT.CROP", (512, 512), "a width and a height in pixels of at least 32", "size of training crops"),
        ("TEST.WINDOW", (), "a width and a height in pixels of at least 32 or []", "size of the windows"),
        ("METHOD", "", "set by --methods", "recipe"),
        ("DATA.VAL.SPLIT", "train", "text", "published data set"),
        ("SELF_TRAINING.THRESHOLD", 0.968, "a number from 0 to 1", "softmax probability"),
        ("HRDA.DETAIL_SIZE", 0.5, "a share of the crop, above 0, below 1", "detail window"),
        ("TERMS.MIC.WEIGHT", 1.0, "a finite number of at least 0", "lambda"),  # a field of the base class
        ("TERMS.FEATURE_DISTANCE.WEIGHT", 0.005, "a finite number of at least 0", "lambda"),  # and its other default
        ("TERMS.MRM.BLOCK", 4, "a whole number of at least 1", "Side of a block in tokens"),
    ],
)
def test_a_key_as_the_page_has_it(keys: dict[str, Key], name: str, default: object, values: str, meaning: str) -> None:
    found = keys[name]
    assert (found.default, found.values) == (default, values)
    assert meaning in found.meaning


def test_values_below_what_the_page_says_are_refused(keys: dict[str, Key]) -> None:
    ends = {"at least 1": 0, "at least 0": -1, "from 0 to 1": 2, "above 0": 0}
    refused = 0
    for key in keys.values():
        for end, beyond in ends.items():
            if key.values.endswith(end):
                with pytest.raises(ConfigError, match=f"{key.name} is .*expected"):
                    RunSpec("streets", "dacs", None, 0, {key.name: beyond}).resolve()
                refused += 1
    assert refused > 30


def test_numbers_and_sizes_have_ranges_that_their_defaults_are_in() -> None:
    known, defaults = ranges(), flatten(get_config())
    assert [key for key, allowed in known.items() if not allowed.allows(defaults[key])] == []
    numbers = {key for key, value in defaults.items() if type(value) in (int, float, tuple)}
    without = numbers - WORD_KEYS - SET_ELSEWHERE.keys() - known.keys()
    assert {key for key in without if not key.startswith("TERMS.")} == set()


def test_terms_of_others_are_not_on_the_page() -> None:
    @dataclass(frozen=True)
    class OthersSettings(TermSettings):
        kept: float = share(0.5)

    class Others(Term[OthersSettings]):
        Settings = OthersSettings

    before = page()
    term("of-others")(Others)
    try:
        assert "TERMS.OF_OTHERS.KEPT" in flatten(get_config())
        assert page() == before
    finally:
        del TERMS["of-others"]


def test_comments_beside_above_and_inside_are_read() -> None:
    source = """\
def get():
    # Of the section.
    cfg.A = CN()
    cfg.A.ONE = 1  # one,
    # Two,
    # in two lines.
    cfg.A.TWO = (
        1,  # inside
    )
    # Of nobody.

    cfg.A.NONE = 3

class Settings:
    ratio: float = 0.4  # of masking
    text = "# no comment"
"""
    assert by_attribute(source, "get") == {
        "A": "Of the section.",
        "A.ONE": "one,",
        "A.TWO": "Two, in two lines. inside",
        "A.NONE": "",
    }
    assert by_field(source, "Settings") == {"ratio": "of masking"}
