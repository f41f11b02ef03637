"""Search: ``python ablations/search.py --space lambda,mask-ratio --trials 30`` tries settings that Optuna draws."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.errors import ConfigError, exit_in_one_line

if TYPE_CHECKING:
    import optuna

    from ablations.study import Search

LOCAL = "local"
USUAL_TRIALS = 30


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    from ablations.samplers import PRUNERS, SAMPLERS
    from ablations.storage import HELP

    parser = argparse.ArgumentParser(
        prog="ablations/search.py",
        description="Search config keys with Optuna, each trial a run. Stopped and started again, a study goes on.",
        epilog="KEY VALUE pairs set any key of the config in all trials, for example: SOLVER.BATCH 2",
    )
    parser.add_argument(
        "--space",
        default="lambda,mask-ratio",
        help="what is searched, comma-separated: lambda, mask-ratio, or a config key with its range: "
        "TERMS.MRM.BLOCKS=1..4, SOLVER.DECODER_LR=1e-4..1e-2:log, TERMS.MRM.STRATEGY=random|block",
    )
    parser.add_argument("--host", default="dacs", help="recipe that MRM is added to (default: dacs)")
    parser.add_argument("--protocol", default="streets", help="what is learned from and scored on (default: streets)")
    parser.add_argument("--network", help="default: the protocol's")
    parser.add_argument("--seed", type=int, default=0, help="of all trials and of the sampler (default: 0)")
    parser.add_argument("--iters", type=int, help="iterations of each trial (default: the protocol's)")
    parser.add_argument(
        "--trials", type=int, help=f"trials the study is to have (default: {USUAL_TRIALS}; of a grid: its points)"
    )
    parser.add_argument(
        "--objective",
        default="target-miou",
        help="target-miou (uses target labels: an oracle), source-val-miou or pseudo-label-confidence; followed by "
        ",step-cost to minimize a step's multiply-adds too",
    )
    parser.add_argument("--pruner", choices=PRUNERS, help="stops trials that lag behind (default: median)")
    parser.add_argument("--sampler", choices=SAMPLERS, default="tpe", help="draws the settings (default: tpe)")
    parser.add_argument("--storage", help=HELP)
    parser.add_argument("--study", help="name of the study (default: made of what is searched)")
    parser.add_argument("--output", type=Path, default=Path("runs"), help="folder of run folders (default: runs)")
    parser.add_argument("--data-root", help="folder of the data sets (default: $DETECTRON2_DATASETS)")
    parser.add_argument(
        "--launcher", choices=(LOCAL,), default=LOCAL, help="where trials run: processes of this machine"
    )
    parser.add_argument("--parallel", type=int, help="trials at a time (default: the GPUs, or the cores up to 4)")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")
    return parser.parse_intermixed_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    import optuna

    warnings.filterwarnings("ignore", module=r"(detectron2|fvcore|torch|iopath)\b.*")
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    from ablations.search_report import write_search_report
    from benchmarks.lock import locked

    for option in ("parallel", "trials"):
        if (number := getattr(arguments, option)) is not None and number < 1:
            raise ConfigError(f"--{option} is {number}, expected at least 1")
    search = described(arguments)
    folder = arguments.output / "search" / search.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output {arguments.output}: expected a folder to write to ({error.strerror})") from None
    with locked(folder):
        study, storage = make_trials(arguments, search, folder)
        report = write_search_report(study, search, folder, arguments.output, storage=storage)
    print(f"\n{report.text}")
    return 0 if report.complete else 1


def described(arguments: argparse.Namespace) -> Search:
    """The search that the command line asks for.

    Raises:
        ConfigError, MethodError: an unknown name or key, or what does not go together.
    """
    from ablations.run import chosen
    from ablations.samplers import NO_PRUNER
    from ablations.space import read_space
    from ablations.study import Search, read_objectives
    from benchmarks.spec import RunSpec
    from methods.recipes import parse

    objectives = read_objectives(arguments.objective)
    several = len(objectives) > 1
    if several and arguments.pruner not in (None, NO_PRUNER):
        raise ConfigError(f"--pruner {arguments.pruner}: two objectives cannot be pruned by, expected {NO_PRUNER}")
    pruner = arguments.pruner or (NO_PRUNER if several else "median")
    host = parse(arguments.host).name
    method = parse(f"{host}+mrm").name
    given = chosen(arguments)
    values = {key: value for objective in objectives for key, value in objective.sets.items()} | given

    def base(keys: dict[str, Any]) -> RunSpec:
        return RunSpec(arguments.protocol, method, arguments.network, arguments.seed, {**values, **keys})

    cfg = base({}).resolve()
    if pruner != NO_PRUNER and "TEST.PERIOD" not in given:
        # Scores to prune by: five in a run.
        values["TEST.PERIOD"] = max(1, -(-cfg.SOLVER.ITERS // 5))
    space = read_space(arguments.space, base)
    for dimension in space:
        if dimension.key in given:
            raise ConfigError(f"KEY VALUE: {dimension.key} is searched by --space; expected other keys")
    names = "-".join(dimension.name for dimension in space)
    usual = f"{cfg.PROTOCOL}-{cfg.NETWORK}-{host}-{names}-{'-'.join(each.name for each in objectives)}"
    return Search(
        arguments.study or usual,
        arguments.protocol,
        arguments.network,
        method,
        host,
        arguments.seed,
        values,
        space,
        objectives,
        arguments.sampler,
        pruner,
    )


def make_trials(arguments: argparse.Namespace, search: Search, folder: Path) -> tuple[optuna.Study, str]:
    """The study, with the trials that it was short of, and where it is kept."""
    from optuna.exceptions import StorageInternalError

    from ablations.storage import network_warning, open_storage
    from ablations.study import open_study
    from ablations.trial_progress import TrialProgress
    from ablations.trials import Driver, trials_over
    from benchmarks.compare import check_runs
    from benchmarks.workers import make_run
    from slurm.local import LocalPool, usual_parallel

    storage = open_storage(arguments.storage, folder)
    if warning := network_warning(storage):
        print(warning, file=sys.stderr)
    parallel = arguments.parallel or usual_parallel()
    try:
        study, points = open_study(search, storage.optuna)
        trials = arguments.trials or points or USUAL_TRIALS
        print(f"study {search.name}: {trials} trials, {parallel} at a time, in {storage.shown}", flush=True)
        if trials_over(study) < trials:  # a report alone needs no data
            check_runs([spec.resolve() for spec in search.ends()])
        with LocalPool(make_run, parallel, arguments.output / ".workers") as pool, TrialProgress(study) as progress:
            Driver(study, storage.optuna, search, arguments.output, pool, progress).run(trials)
    except StorageInternalError as error:
        raise ConfigError(f"--storage {storage.shown}: {str(error).splitlines()[0]}") from None
    return study, storage.shown


if __name__ == "__main__":
    exit_in_one_line(main)
