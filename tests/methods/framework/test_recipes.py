"""Names of methods."""

from __future__ import annotations

import pytest

from methods.base.errors import MethodError
from methods.framework.recipes import MethodPart, parse, register
from methods.framework.shipped import import_methods
from methods.framework.term import TERMS, Term, term

import_methods()


@pytest.mark.parametrize(
    ("text", "name", "terms"),
    [
        ("dacs", "dacs", ("supervised", "self-training")),
        ("mrm", "dacs+mrm", ("supervised", "self-training", "mrm")),
        ("mrm+mic", "dacs+mic+mrm", ("supervised", "self-training", "mic", "mrm")),
        ("mrm + dacs+mic", "dacs+mic+mrm", ("supervised", "self-training", "mic", "mrm")),
        ("source-only", "source-only", ("supervised",)),
    ],
)
def test_recipes_have_one_canonical_name(text: str, name: str, terms: tuple[str, ...]) -> None:
    recipe = parse(text)
    assert (recipe.name, recipe.terms) == (name, terms)
    assert not recipe.oracle


def test_oracle_is_called_so() -> None:
    assert parse("target-only").oracle


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("dasc", "unknown method 'dasc'; did you mean 'dacs'?"),
        ("dacs+nrm", "unknown method 'nrm' in 'dacs+nrm'; did you mean 'mrm'?"),
        ("dacs+mrm+mrm", "'mrm' is named twice"),
        ("dacs+source-only", "are both hosts"),
        ("source-only+mrm", "'mrm' needs pseudo-labels, which 'source-only' does not make; add it to dacs"),
        ("", "unknown method ''"),
    ],
)
def test_what_makes_no_sense_says_why(text: str, line: str) -> None:
    with pytest.raises(MethodError) as error:
        parse(text)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_names_are_registered_once() -> None:
    with pytest.raises(ValueError, match="two methods are called 'dacs'"):
        register(MethodPart("dacs", "again", terms=()))
    with pytest.raises(ValueError, match="two terms are called 'mrm'"):
        term("mrm")(Term)
    assert TERMS["mrm"] is not Term
