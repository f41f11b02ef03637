"""What a method that learns from labelled target images needs to be told."""

from __future__ import annotations

from typing import Any

from methods.framework.recipes import parse


def few_labels(method: str, amount: str = "1/2") -> dict[str, Any]:
    return {"DATA.LABELLED_TARGET": amount} if parse(method).few_labels else {}
