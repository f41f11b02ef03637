"""What a search is told on its command line, and what is said where that cannot be."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from plugged_in import forgotten

from ablations.search import described, parse_arguments
from ablations.study.storage import Storage, network_warning, open_storage
from ablations.study.study import Search, open_study
from benchmarks.config.plugins import import_plugins
from benchmarks.core.checkout import ROOT
from benchmarks.core.errors import ConfigError
from methods.base.errors import MethodError


def search_of(*words: str) -> Search:
    return described(parse_arguments(list(words)))


def test_the_usual_space_is_the_documented_one() -> None:
    search = search_of()
    weight, ratio = search.space
    assert (weight.key, weight.distribution) == ("TERMS.MRM.WEIGHT", FloatDistribution(0.03, 10, log=True))
    assert (ratio.key, ratio.distribution) == ("TERMS.MRM.RATIO", FloatDistribution(0.1, 0.9))
    assert search.base == {"lambda": 1.0, "mask-ratio": 0.4}
    assert (search.method, search.pruner, search.sampler) == ("dacs+mrm", "median", "tpe")


def test_any_key_is_searched_in_its_own_type() -> None:
    search = search_of(
        "--space",
        "lambda=0.1..2, TERMS.MRM.BLOCKS=1..4, SOLVER.DECODER_LR=1e-4..1e-2:log, "
        "TERMS.MRM.STRATEGY=random|block, SAMPLING.RARE_CLASSES=true|false, TERMS.MRM.RATIO=0.2|0.4",
    )
    assert [dimension.distribution for dimension in search.space] == [
        FloatDistribution(0.1, 2),
        IntDistribution(1, 4),
        FloatDistribution(1e-4, 1e-2, log=True),
        CategoricalDistribution(["random", "block"]),
        CategoricalDistribution([True, False]),
        CategoricalDistribution([0.2, 0.4]),
    ]
    spec = search.spec({"lambda": 0.3, "TERMS.MRM.BLOCKS": 3, "SAMPLING.RARE_CLASSES": True})
    cfg = spec.resolve()
    assert (cfg.TERMS.MRM.WEIGHT, cfg.TERMS.MRM.BLOCKS, cfg.SAMPLING.RARE_CLASSES) == (0.3, 3, True)


def test_any_recipe_is_searched_without_mrm_too() -> None:
    search = search_of(
        *("--method", "daformer+mic", "--space"),
        "TERMS.MIC.WEIGHT=0.1..2:log,TERMS.MIC.BLOCK=8..64,TERMS.MIC.DOMAIN=target|both,TERMS.MIC.AUGMENT=true|false",
    )
    assert [dimension.distribution for dimension in search.space] == [
        FloatDistribution(0.1, 2, log=True),
        IntDistribution(8, 64),
        CategoricalDistribution(["target", "both"]),
        CategoricalDistribution([True, False]),
    ]
    assert (search.method, search.host, search.base_name) == ("daformer+mic", "daformer", "base")
    assert search.name.startswith("streets-daformer-lite0-only-daformer+mic-TERMS.MIC.WEIGHT")
    alone = search_of("--method", "source-only", "--space", "SOLVER.ENCODER_LR=1e-5..1e-3:log")
    assert (alone.method, alone.host) == ("source-only", "source-only")
    assert search_of("--method", "mic+mrm") == search_of("--host", "dacs+mic") != search_of("--host", "dacs")


def test_keys_of_a_plugged_in_term_are_searched(tmp_path: Path) -> None:
    code = (ROOT / "examples/own_method/entropy.py").read_text(encoding="utf-8")
    field = "    kept: float"
    (tmp_path / "entropy.py").write_text(code.replace(field, f"    limit: float | None = above_zero(None)\n{field}"))
    with forgotten():
        import_plugins([str(tmp_path / "entropy.py")])
        space = "TERMS.ENTROPY.WEIGHT=0.1..2:log,TERMS.ENTROPY.KEPT=0.2|0.4,TERMS.ENTROPY.LIMIT=0.5..2"
        search = search_of("--method", "dacs+entropy", "--space", space)
        assert search.space[2].distribution == FloatDistribution(0.5, 2.0)
        entropy = search.spec({"TERMS.ENTROPY.KEPT": 0.4, "TERMS.ENTROPY.LIMIT": 0.7}).resolve().TERMS.ENTROPY
        assert (entropy.KEPT, entropy.LIMIT, entropy.WEIGHT) == (0.4, 0.7, 1.0)
        for keys, said in {
            "KEP=0.1..0.2": r"TERMS\.ENTROPY\.KEP; did you mean TERMS\.ENTROPY\.KEPT\?",
            "KEPT=0.5..1.5": r"TERMS\.ENTROPY\.KEPT is 1\.5, expected a number from 0 to 1",
            "LIMIT=a..b": r"LIMIT=a\.\.b: expected TERMS\.ENTROPY\.LIMIT=ONE|OTHER",
        }.items():
            with pytest.raises((ConfigError, MethodError), match=said):
                search_of("--method", "entropy", "--space", f"TERMS.ENTROPY.{keys}")


def test_a_published_value_outside_the_range_is_not_tried(tmp_path: Path) -> None:
    search = search_of("--space", "lambda=2..10:log,mask-ratio")
    assert search.base is None
    study, _ = open_study(search, open_storage(None, tmp_path).optuna)
    assert not study.get_trials()


def test_an_honest_objective_sets_what_it_takes_and_pruning_gets_scores() -> None:
    source = search_of("--objective", "source-val-miou", "--iters", "101").spec({}).resolve()
    assert (source.TEST.SOURCE_IMAGES, source.TEST.CONFIDENCE_IMAGES, source.TEST.PERIOD) == (100, 0, 21)
    own = search_of("--objective", "pseudo-label-confidence", "TEST.CONFIDENCE_IMAGES", "7", "TEST.PERIOD", "9")
    cfg = own.spec({}).resolve()
    assert (cfg.TEST.SOURCE_IMAGES, cfg.TEST.CONFIDENCE_IMAGES, cfg.TEST.PERIOD) == (0, 7, 9)
    periods = {name: search_of("--pruner", name).spec({}).resolve().TEST.PERIOD for name in ("median", "none")}
    assert periods == {"median": 70, "none": 70}  # a fifth of 350
    fine = search_of("--iters", "1000").spec({}).resolve()
    assert fine.TEST.PERIOD == 175  # the protocol's
    assert search_of("--objective", "target-miou,step-cost").spec({}).resolve().TEST.PERIOD == 175


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--space", "lamda"], "unknown name lamda; did you mean lambda?"),
        (["--space", "TERMS.MRM.RATOI=0.1..0.2"], "unknown name TERMS.MRM.RATOI; did you mean TERMS.MRM.RATIO?"),
        (["--space", ","], "--space is empty, expected names such as lambda,mask-ratio"),
        (["--space", "lambda,TERMS.MRM.WEIGHT=0.1..1"], "--space: TERMS.MRM.WEIGHT is named twice"),
        (["--space", "TERMS.MRM.BLOCKS"], "TERMS.MRM.BLOCKS has no usual range, expected TERMS.MRM.BLOCKS=LOW..HIGH"),
        (["--space", "lambda=1"], "lambda=1: expected lambda=LOW..HIGH"),
        (["--space", "lambda=2..1"], "lambda=2..1: expected LOW below HIGH"),
        (["--space", "lambda=0..1:log"], "expected LOW below HIGH, both above 0"),
        (["--space", "lambda=a..b"], "'a': expected a number (default 1.0)"),
        (["--space", "TERMS.MRM.BLOCKS=1..2.5"], "'2.5': expected a whole number (default 2)"),
        (["--space", "TERMS.MRM.STRATEGY=a..b"], "expected TERMS.MRM.STRATEGY=ONE|OTHER"),
        (["--space", "TERMS.MRM.BLOCKS=1|1"], "a value is there twice"),
        (["--space", "INPUT.CROP=1..2"], "expected a key that holds one number or word"),
        (["--space", "TERMS.MIC.RATIO=0.1..0.9"], "TERMS.MIC.RATIO makes no difference to dacs+mrm"),
        (["--space", "SOLVER.ITERS=10..20"], "SOLVER.ITERS cannot be searched"),
        (["--space", "mask-ratio=0.5..1.5"], "TERMS.MRM.RATIO is 1.5, expected a number from 0 to 1"),
        (["--sampler", "grid", "--space", "SOLVER.DECODER_LR=1e-3..1e-2"], None),
        (["--objective", "target"], "unknown name target; did you mean target-miou?"),
        (["--objective", "step-cost"], "pseudo-label-confidence, alone or with step-cost"),
        (["--objective", "target-miou,source-val-miou"], "expected one of"),
        (["--objective", "target-miou,step-cost", "--pruner", "median"], "none: two objectives are not pruned"),
        (["--space", "TERMS.MRM.WEIGHT=0.1:2:log"], "expected TERMS.MRM.WEIGHT=LOW..HIGH, LOW..HIGH:log or ONE|OTHER"),
        (["--method", "daformer"], "--space is not given, expected config keys of daformer with ranges: KEY=LOW..HIGH"),
        (["--method", "dacs", "--space", "lambda"], "TERMS.MRM.WEIGHT makes no difference to dacs"),
        (["--method", "dacs+mcm", "--space", "lambda"], "did you mean"),
        (["--method", "dacs", "--host", "dacs"], "--host is dacs and --method dacs: expected one of them"),
        (["--space", "METHOD=dacs|mic"], "METHOD"),
        (["--space", "NETWORK=daformer-lite0|nope"], "nope"),
        (["--space", "lambda", "TERMS.MRM.WEIGHT", "1"], "TERMS.MRM.WEIGHT is searched by --space"),
    ],
)
def test_what_cannot_be_searched_is_said_in_one_line(tmp_path: Path, words: list[str], said: str | None) -> None:
    with pytest.raises((ConfigError, MethodError)) as error:
        open_study(search_of(*words), open_storage(None, tmp_path).optuna)
    assert "\n" not in str(error.value)
    assert (said or "SOLVER.DECODER_LR is a range, expected values") in str(error.value)


@pytest.mark.parametrize("given", ["journal", "mine.log", "mine.db", None])
def test_a_study_is_kept_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # opened again, it is the same
        storage = open_storage(given, tmp_path / "study")
        study = optuna.create_study(storage=storage.optuna, study_name="one", load_if_exists=True)
        study.tell(study.ask(), 1.0)
    assert len(study.get_trials()) == 2
    assert storage.path is not None and storage.path.is_file()


def test_a_password_is_not_shown_and_a_missing_driver_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        open_storage("oracle+nothing://me:secret@nowhere/db", tmp_path)
    assert "secret" not in str(error.value) and "me:***@nowhere" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["study.txt", "study"])
def test_a_file_of_another_kind_is_no_storage(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"--storage {name}: expected a file that ends in"):
        open_storage(name, tmp_path)


@pytest.mark.parametrize("name", ["study.db", "study.log"])
def test_a_file_that_is_something_else_is_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("this is no study\n" * 100)
    with pytest.raises(ConfigError, match="--storage") as error:
        open_storage(str(path), tmp_path)
    assert "\n" not in str(error.value)


def test_a_study_of_another_optuna_says_so(tmp_path: Path) -> None:
    """Its tables are there, its version is not ours."""
    path = tmp_path / "study.db"
    open_storage(str(path), tmp_path)
    with sqlite3.connect(path) as base:
        base.execute("update alembic_version set version_num = 'v9.9.9'")
    with pytest.raises(ConfigError, match="cannot be opened"):
        open_storage(str(path), tmp_path)


@pytest.mark.parametrize(("kind", "warned"), [("nfs4", True), ("ext4", False), ("lustre", True)])
def test_a_file_on_a_network_file_system_is_warned_of(tmp_path: Path, kind: str, warned: bool) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nserver:/home {tmp_path} {kind} rw 0 0\nb {tmp_path}/other ext4 rw 0 0\n")
    storage = open_storage(None, tmp_path / "study")
    line = network_warning(storage, mounts)
    assert (line is not None) == warned
    if line:
        assert kind in line and "database" in line
    elsewhere = Storage(storage.optuna, storage.shown, tmp_path / "other" / "study.db")
    assert network_warning(elsewhere, mounts) is None
    assert network_warning(Storage(storage.optuna, storage.shown, None), mounts) is None


def test_the_grid_of_names_is_that_of_the_ablations() -> None:
    weight, ratio = search_of("--sampler", "grid").space
    assert weight.grid == (0.1, 0.5, 1.0, 2.0, 10.0)
    assert all(math.isclose(value, tenth / 10) for tenth, value in enumerate(ratio.grid, 1)) and len(ratio.grid) == 9
