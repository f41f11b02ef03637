"""A user's own data set, in a few files, and the protocol that describes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from detectron2.config import CfgNode
from tiny_files import save_grey, save_image

from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.data.data_checks import check_data, check_files
from datasets.base.errors import DataError
from methods.framework.recipes import parse

ONE_STEP = {"SOLVER.ITERS": 1, "SOLVER.BATCH": 2, "WEIGHTS": "none", "DEVICE": "cpu", "NUM_WORKERS": 0}


class Own:
    """A small data set of one's own and the file that describes it, which tests change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for i in range(3):
            save_image(folder / f"game/images/a/{i}.png", (40, 32), seed=i)
            save_grey(folder / f"game/labels/a/{i}.png", np.full((32, 40), (7, 8, 11)[i]))
            save_image(folder / f"camera/{i}_rgb.png", (40, 32), seed=10 + i)
            save_grey(folder / f"camera/{i}_label.png", np.full((32, 40), (0, 1, 2)[i]))
        source = {"LAYOUT": "folders", "FOLDER": "game", "IMAGES": "images", "LABELS": "labels"}
        camera = {"LAYOUT": "folders", "FOLDER": "camera", "IMAGES": "*_rgb.png"}
        ids = {7: "ground", 8: "ground", 11: "house"}
        self.values: dict[str, Any] = {
            "NETWORK": "daformer-lite0",
            "DATA": {
                "CLASSES": ["ground", "house", "sky"],
                "SOURCE": source | {"IDS": ids},
                "TARGET": dict(camera),
                "VAL": camera | {"LABELS": "*_label.png"},
            },
            "INPUT": {"CROP": [32, 32], "MAX_CLASS_SHARE": 1.0},
        }

    @property
    def data(self) -> dict[str, Any]:
        return self.values["DATA"]

    def write(self, name: str = "mine.yaml") -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(self.values, sort_keys=False))
        return path

    def resolve(self, method: str = "dacs", **overrides: Any) -> CfgNode:
        return RunSpec(str(self.write()), method, overrides=overrides).resolve()

    def check(self, method: str = "dacs") -> None:
        cfg = self.resolve(method)
        check_data(cfg, parse(method))
        check_files(cfg, parse(method))

    def line(self, method: str = "dacs") -> str:
        with pytest.raises((ConfigError, DataError)) as caught:
            self.check(method)
        line = str(caught.value)
        assert "\n" not in line
        return line
