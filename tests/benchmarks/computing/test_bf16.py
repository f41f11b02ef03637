"""Which processors compute in bfloat16 themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.computing import bf16


@pytest.mark.parametrize(
    ("text", "emulated"),
    [
        ("flags\t\t: fpu avx512f", True),
        ("flags\t\t: fpu avx512_bf16 avx512f", False),
        ("flags\t\t: fpu amx_bf16", False),
        ("Features\t: fp asimd", True),
        ("Features\t: fp asimd bf16", False),
        ("processor\t: 0", False),
        (None, False),
    ],
)
def test_a_processor_that_lacks_bf16_is_known_by_its_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, emulated: bool
) -> None:
    """What says nothing of itself is not suspected."""
    if text is not None:
        (tmp_path / "cpuinfo").write_text(f"model name\t: Some CPU\n{text}\n")
    monkeypatch.setattr(bf16, "CPUINFO", tmp_path / "cpuinfo")
    assert bf16.emulated_bf16() is emulated
