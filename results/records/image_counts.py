"""Confusion counts of each validation image, which a finished run leaves beside its record, for intervals."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from results.files.errors import ResultsError
from results.files.plain_file import read_plain, replacing

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_array

MOST_IMAGES, MOST_CLASSES = 10**6, 1000


def counts_file(folder: Path, model: str) -> Path:
    """The file of a model's counts, STUDENT's or TEACHER's, in a run folder."""
    return folder / f"counts-{model}.npz"


def sparse_counts(by_image: Sequence[np.ndarray]) -> csr_array:
    """Confusion matrices (K, K) of N images as (N, K²), of which few are not 0: row-major, rows label."""
    import numpy as np
    from scipy.sparse import csr_array

    rows = [matrix.ravel() for matrix in by_image]
    cells = [np.flatnonzero(row) for row in rows]
    starts = np.cumsum([0, *map(len, cells)])
    counts = np.concatenate([row[at] for row, at in zip(rows, cells, strict=True)])
    return csr_array((counts.astype(np.uint32), np.concatenate(cells), starts), shape=(len(rows), rows[0].size))


def write_counts(folder: Path, model: str, counts: csr_array) -> None:
    """Write a model's counts (`sparse_counts`), whole or not at all. Raises OSError where that cannot be."""
    from scipy.sparse import save_npz

    with replacing(counts_file(folder, model)) as file:
        save_npz(file, counts)


def read_counts(folder: Path, model: str) -> csr_array | None:
    """The counts (N, K²) of a model, int64, or None where the run left none, as runs of before did.

    Raises:
        ResultsError: the file is no plain file, or not what `write_counts` writes.
    """
    import numpy as np
    from scipy.sparse import csr_array

    path = counts_file(folder, model)
    try:
        content = read_plain(path)
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            shape, parts = file["shape"], [file[name] for name in ("data", "indices", "indptr")]
        if not (1 <= shape[0] <= MOST_IMAGES and 1 <= shape[1] <= MOST_CLASSES**2):
            raise ValueError(f"{shape[0]} images, {shape[1]} cells")
        counts = csr_array((parts[0].astype(np.int64), *parts[1:]), shape=tuple(map(int, shape)))
        counts.check_format(full_check=True)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, IndexError, TypeError, OverflowError, BadZipFile, EOFError) as error:
        raise ResultsError(f"{path}: expected the counts of a run ({str(error).splitlines()[0]})") from None
    return counts
