"""Counts by image in a run folder: small, read back as written, and refused where they are anything else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from results.files.errors import ResultsError
from results.records.image_counts import counts_file, read_counts, sparse_counts, write_counts


def confusions(images: int, classes: int = 19, pixels: int = 2048 * 1024) -> np.ndarray:
    """As of street scenes: ten classes an image, most predictions right, some pixels of any class."""
    rng = np.random.default_rng(0)
    found = np.zeros((images, classes, classes), dtype=np.int64)
    for matrix in found:
        there = rng.choice(classes, 10, replace=False)
        share = rng.dirichlet(np.ones(10)) * pixels
        for label, count in zip(there, share, strict=True):
            wrong = rng.dirichlet(np.full(10, 0.5)) * 0.2
            matrix[label, there] += rng.multinomial(int(count), wrong / 1.0001)
            matrix[label, label] += int(count) - matrix[label].sum()
    return found


def test_five_hundred_images_are_read_as_written_and_take_less_than_a_megabyte(tmp_path: Path) -> None:
    written = confusions(500)
    write_counts(tmp_path, "student", sparse_counts(written))
    read = read_counts(tmp_path, "student")
    assert read is not None and np.array_equal(read.toarray().reshape(500, 19, 19), written)
    assert counts_file(tmp_path, "student").stat().st_size < 1_000_000
    assert read_counts(tmp_path, "teacher") is None


@pytest.mark.parametrize("damage", ["cut", "text", "pickle", "outside", "folder", "pipe", "huge"])
def test_what_is_damaged_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    path = counts_file(tmp_path, "student")
    counts = sparse_counts(confusions(3))
    write_counts(tmp_path, "student", counts)
    parts = {"data": counts.data, "indices": counts.indices, "indptr": counts.indptr, "shape": np.array(counts.shape)}
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "text":
        path.write_text("no archive")
    elif damage == "pickle":
        np.savez(path, **parts | {"data": np.array([{}], dtype=object)})
    elif damage == "outside":
        np.savez(path, **parts | {"indices": counts.indices + 10**6})
    elif damage == "huge":
        np.savez(path, **parts | {"shape": np.array([2**60, 361])})
    else:
        path.unlink()
        path.mkdir() if damage == "folder" else os.mkfifo(path)
    with pytest.raises(ResultsError, match=r"counts-student\.npz: expected the counts of a run \(") as refused:
        read_counts(tmp_path, "student")
    assert "\n" not in str(refused.value)
