"""Search: ``python ablations/search.py --space lambda,mask-ratio --trials 30`` tries settings that Optuna draws."""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import warnings
from functools import partial
from os.path import expanduser
from pathlib import Path
from typing import TYPE_CHECKING, Any

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ablations.study.search_options import NO_PRUNER, PRUNERS, SAMPLERS, STORAGE_HELP
from benchmarks.cli.run_options import (
    LOCAL,
    add_launcher_options,
    add_plot_options,
    add_training_options,
    check_records,
    import_named_plugins,
    path_of,
)
from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError

if TYPE_CHECKING:
    import optuna

    from ablations.study.search_report import SearchReport
    from ablations.study.storage import Storage
    from ablations.study.study import Search
    from benchmarks.launch.launcher import Launcher

USUAL_TRIALS = 30
LONGEST_NAME = 120  # characters; files are named after the study, too


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="ablations/search.py",
        description="Search config keys with Optuna, each trial a run. Stopped and started again, a study goes on.",
        epilog="KEY VALUE pairs set any key of the config in all trials, for example: SOLVER.BATCH 2",
    )
    parser.add_argument(
        "--space",
        help="what is searched, comma-separated: any config key of the recipe with its range, such as "
        "TERMS.MIC.BLOCK=8..64, SOLVER.DECODER_LR=1e-4..1e-2:log, TERMS.MRM.STRATEGY=random|block; of MRM also lambda, "
        "mask-ratio (its default: lambda,mask-ratio)",
    )
    parser.add_argument("--method", metavar="RECIPE", help="the recipe that is searched, such as daformer+mic")
    parser.add_argument(
        "--host", metavar="RECIPE", help="in place of --method: the recipe that MRM is added to (default: dacs)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all trials and of the sampler (default: 0)")
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
    parser.add_argument("--storage", type=expanduser, help=STORAGE_HELP)
    parser.add_argument(
        "--records",
        type=path_of,
        metavar="FOLDER",
        help="make no run: read the trials.csv that a search left and was put there, and the records below it",
    )
    parser.add_argument("--study", help="name of the study (default: made of what is searched)")
    add_training_options(parser)
    add_plot_options(parser)
    add_launcher_options(parser, LOCAL)
    return parser.parse_intermixed_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    import_named_plugins(arguments)
    import optuna

    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    from optuna.exceptions import StorageInternalError

    from ablations.study.search_records import study_of_records
    from ablations.study.search_report import write_search_report
    from ablations.study.storage import open_storage
    from benchmarks.launch.launcher import read_launcher
    from benchmarks.state.lock import locked
    from results.plots.files import read_formats
    from results.plots.style import WIDTHS

    if arguments.trials is not None and arguments.trials < 1:
        raise ConfigError(f"--trials is {arguments.trials}, expected at least 1")
    given = {"--trials": arguments.trials is not None, "--storage": arguments.storage is not None}
    check_records(arguments, given, usual=LOCAL)
    launcher, formats = read_launcher(arguments), read_formats(arguments.plots)
    search = described(arguments)
    folder = arguments.output / "search" / search.name
    shown = {"formats": formats, "width": WIDTHS[arguments.plot_width], "records": arguments.records}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output {arguments.output}: expected a folder to write to ({error.strerror})") from None
    with locked(folder):
        if arguments.records:
            study = study_of_records(search, arguments.records, partial(print, file=sys.stderr))
            return told(write_search_report(study, search, folder, arguments.output, **shown))
        storage = open_storage(arguments.storage, folder)
        try:
            study = make_trials(arguments, search, storage, launcher)
            report = write_search_report(
                study, search, folder, arguments.output, storage=storage.shown, **shown
            )
        except (StorageInternalError, OSError) as error:
            raise ConfigError(f"--storage {storage.shown}: {str(error).splitlines()[0]}") from None
    return told(report)


def told(report: SearchReport) -> int:
    """Print what a search measured; returns the exit code. Raises ConfigError where not all could be written."""
    print(f"\n{report.text}", flush=True)
    if report.unwritten:
        raise report.unwritten
    return 0 if report.complete else 1


def described(arguments: argparse.Namespace) -> Search:
    """The search that the command line asks for.

    Raises:
        ConfigError, MethodError: an unknown name or key, or what does not go together.
    """
    from ablations.study.space import NAMED, read_space
    from ablations.study.study import Search, read_objectives
    from benchmarks.cli.given import given_overrides
    from benchmarks.config.former_ids import period_to_prune_by
    from benchmarks.config.spec import RunSpec

    objectives = read_objectives(arguments.objective)
    several = len(objectives) > 1
    if several and arguments.pruner not in (None, NO_PRUNER):
        raise ConfigError(f"--pruner is {arguments.pruner}, expected {NO_PRUNER}: two objectives are not pruned")
    pruner = arguments.pruner or (NO_PRUNER if several else "median")
    host, method = recipes(arguments.host, arguments.method)
    given = given_overrides(arguments)
    for key in (key for objective in objectives for key in objective.sets):
        if given.get(key) == 0:
            raise ConfigError(f"KEY VALUE: {key} is 0, expected images to measure --objective {arguments.objective} on")
    values = {key: value for objective in objectives for key, value in objective.sets.items()} | given

    def base(keys: dict[str, Any]) -> RunSpec:
        return RunSpec(arguments.protocol, method, arguments.network, arguments.seed, {**values, **keys})

    cfg = base({}).resolve()
    if not several and "TEST.PERIOD" not in given:
        # Scores to prune by, at least five in a run; also without a pruner, so that one can be had later.
        values["TEST.PERIOD"] = period_to_prune_by(cfg.TEST.PERIOD, cfg.SOLVER.ITERS)
    is_mrm = method != host and "mrm" in method.split("+")
    if arguments.space is None and not is_mrm:
        raise ConfigError(f"--space is not given, expected config keys of {method} with ranges: KEY=LOW..HIGH")
    space = read_space(arguments.space or ",".join(NAMED), base)
    for dimension in space:
        if dimension.key in given:
            raise ConfigError(f"KEY VALUE: {dimension.key} is searched by --space; expected other keys")
    names = "-".join(dimension.name for dimension in space)
    searched = host if is_mrm else f"only-{method}"
    usual = f"{cfg.PROTOCOL}-{cfg.NETWORK}-{searched}-{names}-{'-'.join(each.name for each in objectives)}"
    return Search(
        study_name(arguments.study, usual),
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


def recipes(host: str | None, method: str | None) -> tuple[str, str]:
    """The recipe that the trials are compared with, and theirs: of ``--host`` and ``--method``, both canonical.

    Raises:
        ConfigError: both are given, or a host that has MRM already. MethodError: no recipe.
    """
    from methods.framework.recipes import parse

    if method is None:
        name = parse(host or "dacs").name
        if "mrm" in parse(name).terms:
            raise ConfigError(f"--host is {host}, expected it without mrm: the search adds that")
        return name, parse(f"{name}+mrm").name
    if host is not None:
        raise ConfigError(f"--host is {host} and --method {method}: expected one of them, --method for any recipe")
    recipe = parse(method)
    others = [part.name for part in recipe.add_ons if part.name != "mrm"]
    compared = "+".join([recipe.host.name, *others]) if len(others) < len(recipe.add_ons) else recipe.host.name
    return compared, recipe.name


def study_name(given: str | None, usual: str) -> str:
    """The study's name, which is a folder's and stands in a URL; the usual one is shortened to fit."""
    if given is None:
        fitting = re.sub(r"[^A-Za-z0-9._+-]", "-", usual)
        digest = hashlib.sha256(usual.encode()).hexdigest()[:8]
        return fitting if fitting == usual and len(usual) <= LONGEST_NAME else f"{fitting[: LONGEST_NAME - 9]}-{digest}"
    if not re.fullmatch(rf"(?=.{{1,{LONGEST_NAME}}}$)[A-Za-z0-9][A-Za-z0-9._+-]*", given):
        raise ConfigError(
            f"--study is {given!r}, expected a letter or digit, then letters, digits and . _ + -, "
            f"at most {LONGEST_NAME}"
        )
    return given


def make_trials(
    arguments: argparse.Namespace, search: Search, storage: Storage, launcher: Launcher
) -> optuna.Study:
    """The study, with the trials that it was short of."""
    from ablations.study.search_driver import Driver
    from ablations.study.storage import network_warning
    from ablations.study.study import open_study
    from ablations.study.trial_progress import TrialProgress
    from ablations.study.trial_reporter import trials_over
    from benchmarks.config.remarks import remarks
    from benchmarks.config.run import Run
    from benchmarks.launch.elsewhere import run_pool
    from benchmarks.launch.run_checks import check_runs

    if warning := network_warning(storage):
        print(warning, file=sys.stderr)
    study, points = open_study(search, storage.optuna)
    trials = arguments.trials or points or USUAL_TRIALS
    print(f"study {search.name}: {trials} trials, {launcher.parallel} at a time, in {storage.shown}", flush=True)
    for line in remarks([search.cfg]):
        print(line, flush=True)
    if trials_over(study) < trials:  # a report alone needs no data
        check_runs([Run.of(spec, arguments.output) for spec in search.ends()], launcher)
    with run_pool(launcher, arguments.output) as pool, TrialProgress(study) as progress:
        Driver(study, storage.optuna, search, arguments.output, pool, progress).run(trials)
    return study


if __name__ == "__main__":
    exit_in_one_line(main)
