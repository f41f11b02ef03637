"""What follows a search: its best settings as a grid, the command that runs it on other seeds, and the dashboard."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import FrozenTrial
from sqlalchemy.engine import make_url

from ablations.study.study import Search
from benchmarks.config.keys import PLACE_KEYS
from results.records.record import write_text

SEEDS = 3
_ROOT = "DATA.ROOT"


def write_grid(
    search: Search, best: Sequence[FrozenTrial], base: FrozenTrial | None, folder: Path
) -> Path:
    """Write the chosen trials and where the search begins as a grid of ``ablations/run.py``; returns its path.

    With the search's seed its runs are those of the trials: keys that decide a run's numbers are held as they were, but
    for those that an honest objective needed, since what is reported is trained on all of the source. The file has the
    study's name, since its tables are named by it.
    """
    path = folder / f"top-{folder.name}.yaml"
    keys = {dimension.name: dimension.key for dimension in search.space}
    settings = {f"trial {trial.number}": trial.params for trial in best}
    if (known := search.base) is not None:
        label = search.base_name if base is None else f"trial {base.number} ({search.base_name})"
        same = next((label for label, params in settings.items() if params == known), None)
        settings = {label: known, **{other: params for other, params in settings.items() if other != same}}
    oracle = " by target labels (oracle)" if any(objective.oracle for objective in search.objectives) else ""
    grid = {
        "title": f"Best trials of the search {search.name}, chosen{oracle} on seed {search.seed}",
        "method": search.method,
        "fixed": {key: _plain(value) for key, value in _decisive(search).items()},
        "axes": [
            {
                "name": "chosen",
                "values": {
                    label: {keys[name]: value for name, value in params.items()} for label, params in settings.items()
                },
            }
        ],
        "reference": {"label": "host alone"},
    }
    write_text(path, yaml.safe_dump(grid, sort_keys=False, allow_unicode=True, width=120))
    return path


def rerun_command(search: Search, grid: Path, output: Path) -> str:
    """The command that runs the grid on seeds that the search did not use, quoted for a shell."""
    seeds = itertools.islice((seed for seed in itertools.count() if seed != search.seed), SEEDS)
    words = [".venv/bin/python", "ablations/run.py", str(grid), "--host", search.host, "--protocol", search.protocol]
    network = search.network or search.overrides.get("NETWORK")
    places = {key: value for key, value in search.overrides.items() if key in PLACE_KEYS}
    words += ["--network", str(network)] if network else []
    words += ["--seeds", ",".join(map(str, seeds))]
    words += ["--data-root", str(places.pop(_ROOT))] if places.get(_ROOT) else []
    words += ["--output", str(output)] if output != Path("runs") else []
    for key, value in places.items():
        words += [key, value if isinstance(value, str) else json.dumps(value)]
    return shlex.join(words)


def dashboard_line(storage: str) -> str:
    """How to open the study in a browser; passwords of a URL are not shown."""
    hidden = ""
    if "://" in storage:
        url = make_url(storage)
        secret = {key: "***" for key in url.query if "pass" in key.lower()}
        storage = url.update_query_dict(secret).render_as_string(hide_password=True)
        hidden = " (with the password in place of ***)" if "***" in storage else ""
    return f"In a browser: pip install optuna-dashboard && optuna-dashboard {shlex.quote(storage)}{hidden}"


def _decisive(search: Search) -> Mapping[str, Any]:
    """What all trials set, without what the grid varies, criteria, the network, and what places and hardware decide."""
    criteria = {key for objective in search.objectives for key in objective.sets}
    others = {*PLACE_KEYS, *criteria, "NETWORK", *(dimension.key for dimension in search.space)}
    return {key: value for key, value in search.overrides.items() if key not in others}


def _plain(value: Any) -> Any:
    """YAML has no tuples."""
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
