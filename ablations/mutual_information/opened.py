"""A run that is measured: its network, and the Rebuilder that its training checkpoint keeps."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from benchmarks.config.keys import config_name, from_node
from benchmarks.core.errors import ConfigError
from benchmarks.engine.checkpoint_file import read_checkpoint
from benchmarks.trained.opened_run import TrainedRun
from benchmarks.trained.safe_file import SUFFIX
from methods.framework.term import TERMS
from methods.mrm import MRM
from methods.networks import Segmentor

NAME, WITHOUT = "mrm", "--no-rebuilder"


def load_rebuilder(run: TrainedRun, segmentor: Segmentor) -> MRM | None:
    """The MRM term of a run as it was trained, in eval mode; None where its method has none, or none that rebuilds.

    Inference does without the Rebuilder, and so do exported and published weights; a run's own checkpoint has it.

    Raises:
        ConfigError: the run has one, and its checkpoint does not.
    """
    kept = [name for name in run.recipe.terms if run.cfg.TERMS[config_name(name)].WEIGHT != 0]
    if NAME not in kept:
        return None
    width, height = run.cfg.INPUT.CROP
    term = MRM(from_node(TERMS[NAME].Settings, run.cfg.TERMS[config_name(NAME)]), segmentor, (height, width))
    if term.rebuilder is None:
        return None
    file = run.checkpoint()
    content = {} if file.suffix == SUFFIX else read_checkpoint(file)
    if "terms" not in content:
        raise ConfigError(
            f"{file} holds the network alone, without the Rebuilder of {run.cfg.METHOD}, which inference drops: "
            f"expected the checkpoint that training left, or {WITHOUT}"
        )
    prefix = f"{kept.index(NAME)}."
    state = {key.removeprefix(prefix): value for key, value in content["terms"].items() if key.startswith(prefix)}
    _load(term, state, file)
    return term.eval()


def _load(term: nn.Module, state: dict[str, object], file: Path) -> None:
    try:
        term.load_state_dict(state)
    except RuntimeError as error:
        told = " ".join(str(error).split())[:200]
        raise ConfigError(f"{file}: its Rebuilder does not fit the run's config ({told})") from None
