"""Configs: what names and values become, what decides a run's id, and the line told for what is wrong."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from detectron2.config import CfgNode

import datasets.streets
from benchmarks.config.data_lists import without_lists
from benchmarks.config.keys import SOURCES, TARGETS, WORD_KEYS, flatten, from_node, get_config
from benchmarks.config.overrides import apply, parse_pairs
from benchmarks.config.protocol_file import protocol_values, protocols
from benchmarks.config.run_id import run_folder, run_id
from benchmarks.config.spec import RunSpec
from benchmarks.core.checkout import ROOT
from benchmarks.core.errors import ConfigError
from methods.base.errors import MethodError
from methods.framework.recipes import PARTS, parse
from methods.framework.term import TERMS
from methods.mrm import MRMSettings
from methods.networks import NETWORKS

# Where and how a run runs, and what is said of it: the only keys that may leave the id as it is.
UNDECIDING = {
    "PROTOCOL_FILE",
    "DATA.COLOURS",
    "DATA.ROOT",
    "DEVICE",
    "NUM_WORKERS",
    "DATA.CACHE_RESIZED",
    "TEST.ALSO",
    "TEST.METRICS",
    "CHECKPOINT_PERIOD",
    "LOG.PERIOD",
    "LOG.IMAGES",
    "LOG.WRITERS",
    "DESCRIPTION",
    "SOLVER.ACTIVATION_CHECKPOINTING",
    "SOLVER.DETERMINISTIC",
    "SOLVER.GRAPHS",
    "TEST.PERIOD",
    "DATA.SOURCE.WEIGHT",  # of the only ones
    "DATA.TARGET.WEIGHT",
}


# Of the labels of a data set that ships, where DATA.CLASSES are one's own.
OWN_IDS = tuple(
    word for role in ("SOURCE", "TARGET", "VAL") for word in (f"DATA.{role}.IDS", "[7=road, 26=car, others=ignore]")
)


def resolved(*words: str, method: str = "dacs", protocol: str = "streets", seed: int = 0) -> CfgNode:
    """The config of a run with ``KEY VALUE`` words as on the command line."""
    return RunSpec(protocol, method, seed=seed, overrides=parse_pairs(words)).resolve()


def every_recipe() -> list[str]:
    """Every host, with up to two add-ons where it has pseudo-labels, but for two forms of one loss."""
    add_ons = [part.name for part in PARTS.values() if not part.host]
    subsets = [chosen for n in range(3) for chosen in itertools.combinations(add_ons, n)]
    subsets.remove(("mixup", "mixup-local"))
    hosts = [part for part in PARTS.values() if part.host]
    return ["+".join((host.name, *chosen)) for host in hosts for chosen in subsets if host.teacher or not chosen]


# The run's id


@pytest.mark.slow
def test_id_is_the_same_in_another_process_with_another_hash_seed(tmp_path: Path) -> None:
    wanted = [("streets", "dacs+mic+mrm", 0), ("gta-cityscapes", "source-only", 3), ("synthia-cityscapes", "mic", 1)]
    code = (
        "import json, sys; from benchmarks.config.run_id import run_id; from benchmarks.config.spec import RunSpec\n"
        "print(json.dumps([run_id(RunSpec(p, m, seed=s).resolve()) for p, m, s in json.loads(sys.argv[1])]))"
    )
    hash_seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(wanted)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    ids = [run_id(RunSpec(p, m, seed=s).resolve()) for p, m, s in wanted]
    assert json.loads(done.stdout.splitlines()[-1]) == ids
    assert all(re.fullmatch("[0-9a-f]{12}", i) for i in ids)


def other(key: str, value: Any) -> Any:
    """Another value of the same type."""
    if key in ("METHOD", "NETWORK"):
        return {"METHOD": "dacs+mrm", "NETWORK": "daformer-mitb0"}[key]
    if isinstance(value, str):
        return value + "-other"
    if isinstance(value, tuple):
        return (*value, "another" if key in WORD_KEYS else 64)
    if isinstance(value, bool):
        return not value
    return value + 1


def test_a_config_that_is_changed_changes_no_other_and_a_term_that_comes_later_is_in_it() -> None:
    before, changed = flatten(get_config()), get_config()
    changed.TERMS.MRM.RATIO, changed.SELF_TRAINING.THRESHOLD, changed.DATA.SOURCE.LAYOUT = 0.123, 0.123, "other"
    assert flatten(get_config()) == before
    with patch.dict(TERMS, {"late-term": TERMS["mrm"]}):
        assert get_config().TERMS.LATE_TERM == get_config().TERMS.MRM
    assert flatten(get_config()) == before


# Of the further sources and targets the first: they have the same keys.
ALIKE = tuple(f"DATA.{role}." for role in (*SOURCES[2:], *TARGETS[2:]))


@pytest.mark.parametrize("key", sorted(key for key in flatten(get_config()) if not key.startswith(ALIKE)))
def test_id_depends_on_what_decides_numbers_and_on_nothing_else(key: str) -> None:
    # Has every term, two resolutions, rare classes and labels of the target.
    cfg = resolved("DATA.LABELLED_TARGET", "1/2", method="hrda+mic+mixup+mrm+mrm-input+semi").clone()
    cfg.defrost()
    before = run_id(cfg)
    apply(cfg, {key: other(key, flatten(cfg)[key])}, "test")
    assert (run_id(cfg) == before) == (key in UNDECIDING)


def test_id_ignores_settings_of_terms_that_the_recipe_lacks() -> None:
    """So that a grid over MRM's settings shares its baseline."""
    changed = ("TERMS.MRM.RATIO", "0.9")
    assert run_id(resolved(*changed, method="dacs")) == run_id(resolved(method="dacs"))
    assert run_id(resolved(*changed, method="mrm")) != run_id(resolved(method="mrm"))
    momentum = ("SELF_TRAINING.MOMENTUM", "0.9")
    assert run_id(resolved(*momentum, method="source-only")) == run_id(resolved(method="source-only"))
    assert run_id(resolved(*momentum, method="dacs")) != run_id(resolved(method="dacs"))


@pytest.mark.parametrize(
    ("method", "held", "changed"),
    [
        ("dacs", (), ("TEST.PERIOD", "7")),
        ("dacs", ("SOLVER.WARMUP_ITERS", "0"), ("SOLVER.WARMUP_FACTOR", "0.1")),
        ("dacs", ("DATA.CLASSES", "[road, car]", *OWN_IDS), ("DATA.THINGS", "[car]")),
        ("dacs", (), ("DATA.TARGET.IDS", "[7=road]")),
        ("mrm", ("TERMS.MRM.WEIGHT", "0"), ("TERMS.MRM.RATIO", "0.9")),
    ],
)
def test_what_decides_nothing_in_a_run_leaves_the_id_of_those_who_never_set_it(
    method: str, held: tuple[str, ...], changed: tuple[str, ...]
) -> None:
    assert run_id(resolved(*held, *changed, method=method)) == run_id(resolved(*held, method=method))


def test_what_is_idle_in_another_run_decides_where_it_is_used() -> None:
    used = {
        "target-only": ((), ("DATA.TARGET.IDS", "[7=road]")),
        "source-only": (("SOLVER.WARMUP_ITERS", "9"), ("SOLVER.WARMUP_FACTOR", "0.1")),
        "daformer": (("DATA.CLASSES", "[road, car, sky]", *OWN_IDS, "DATA.THINGS", "[car]"), ("DATA.THINGS", "[sky]")),
    }
    for method, (held, changed) in used.items():
        assert run_id(resolved(*held, *changed, method=method)) != run_id(resolved(*held, method=method))


@pytest.mark.slow
def test_id_of_each_method_protocol_network_and_seed_is_another() -> None:
    one, other = ("daformer-lite0", 0), ("deeplabv2-r50", 1)
    specs = [RunSpec(protocol, method, *one) for protocol in protocols() for method in every_recipe()]
    specs += [
        RunSpec("streets", method, network, seed)
        for method in every_recipe()
        for network, seed in ((one[0], other[1]), (other[0], one[1]), other)
    ]
    ids = [run_id(spec.resolve()) for spec in specs]
    assert len(set(ids)) == len(specs)


def test_id_does_not_depend_on_how_the_same_settings_are_written() -> None:
    same = [
        resolved(),
        resolved("SOLVER.ITERS", "350"),  # streets' own
        resolved("SOLVER.POWER", "1"),
        resolved("SOLVER.POWER", "1.0", "SOLVER.ITERS", "350"),
        resolved("SOLVER.ENCODER_LR", "1e-3"),
        resolved("SOLVER.ENCODER_LR", "0.001"),
        resolved("INPUT.CROP", "128x128"),
        resolved("INPUT.CROP", "[128, 128]"),
        resolved("SOLVER.ITERS", "7", "SOLVER.ITERS", "350"),
        RunSpec("streets", "dacs", "daformer-lite0").resolve(),
    ]
    assert len({run_id(cfg) for cfg in same}) == 1


def test_mrm_is_dacs_with_mrm_and_the_order_of_add_ons_does_not_matter() -> None:
    assert run_id(resolved(method="mrm")) == run_id(resolved(method="dacs+mrm"))
    orders = ["dacs+mic+mrm", "dacs+mrm+mic", "mrm+mic", "mic+mrm", "mrm+dacs+mic", " mrm + mic "]
    assert {resolved(method=order).METHOD for order in orders} == {"dacs+mic+mrm"}
    assert len({run_id(resolved(method=order)) for order in orders}) == 1
    assert len({run_id(resolved(method=m)) for m in ("dacs", "mic", "mrm", "mic+mrm")}) == 4


def test_a_weights_file_counts_by_its_content_and_not_by_its_name(tmp_path: Path) -> None:
    first, copy, other_file = tmp_path / "a.pth", tmp_path / "sub" / "b.pth", tmp_path / "c.pth"
    copy.parent.mkdir()
    first.write_bytes(b"weights")
    copy.write_bytes(b"weights")
    other_file.write_bytes(b"others")

    def identity(path: Path | str) -> str:
        return run_id(resolved("WEIGHTS", str(path)))

    assert identity(first) == identity(copy)
    ids = {identity(first), identity(other_file), identity("none"), identity("imagenet")}
    assert len(ids) == 4
    first.write_bytes(b"retrained")
    assert identity(first) not in ids


def test_a_file_named_like_known_weights_does_not_change_the_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run_id(resolved())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet").write_bytes(b"a stray file")
    assert run_id(resolved()) == before


def test_run_folder_is_readable_and_ends_in_the_id() -> None:
    cfg = resolved(method="mrm+mic")
    assert run_folder(Path("runs"), cfg) == Path("runs/streets/dacs+mic+mrm/daformer-lite0") / run_id(cfg)


# Defaults, protocols, recipes


@pytest.mark.slow
@pytest.mark.parametrize("protocol", protocols())
def test_every_protocol_resolves_with_every_recipe_and_network(protocol: str) -> None:
    chosen = without_lists(protocol_values(protocol), protocol)
    networks = list(NETWORKS)
    for index, recipe in enumerate([*every_recipe(), "mic", "mrm"]):
        network = networks[index % len(networks)]
        cfg = RunSpec(protocol, recipe, network, seed=4).resolve()
        flat = flatten(cfg)
        assert [flat[key] for key in ("PROTOCOL", "METHOD", "NETWORK", "SEED")] == [
            protocol,
            parse(recipe).name,
            network,
            4,
        ]
        of_the_recipe = parse(recipe).configure(flatten(resolved(protocol=protocol)))
        for key, value in chosen.items():
            fitted = NETWORKS[network].patch and (key.endswith("_RESIZE") or key in ("INPUT.CROP", "TEST.RESIZE"))
            if key != "NETWORK" and key not in of_the_recipe and not fitted:
                assert flat[key] == (tuple(value) if isinstance(value, list) else value)
    assert flatten(RunSpec(protocol, "dacs").resolve())["NETWORK"] == chosen["NETWORK"]


def test_the_shipped_names_are_there() -> None:
    assert protocols() == [
        "cityscapes-acdc",
        "cityscapes-darkzurich",
        "gta+synthia-cityscapes",
        "gta-cityscapes",
        "gta-cityscapes-vfm",
        "streets",
        "streets-long",
        "streets-night",
        "streets-rain",
        "streets-sources",
        "synthia-cityscapes",
    ]
    assert {"source-only", "target-only", "dacs", "mic", "mrm"} <= set(PARTS)


def test_streets_at_length_is_streets_with_more_iterations() -> None:
    short, long = (flatten(resolved(protocol=name)) for name in ("streets", "streets-long"))
    differing = {key for key in short if short[key] != long[key]}
    assert differing == {"PROTOCOL", "DESCRIPTION", "SOLVER.ITERS", "TEST.PERIOD", "CHECKPOINT_PERIOD"}
    assert long["SOLVER.ITERS"] == 4000 and long["SOLVER.ITERS"] % long["TEST.PERIOD"] == 0


def test_published_protocols_have_the_published_sizes_and_class_sets() -> None:
    gta, synthia = resolved(protocol="gta-cityscapes"), resolved(protocol="synthia-cityscapes")
    assert (gta.INPUT.SOURCE_RESIZE, synthia.INPUT.SOURCE_RESIZE) == ((1280, 720), (1280, 760))
    for cfg, classes in ((gta, 19), (synthia, 16)):
        assert (cfg.INPUT.TARGET_RESIZE, cfg.TEST.RESIZE, cfg.INPUT.CROP) == ((1024, 512), (1024, 512), (512, 512))
        assert (cfg.SOLVER.ITERS, cfg.SOLVER.BATCH) == (40000, 2)
        assert flatten(cfg)["TEST.CLASSES"] == classes
        assert (cfg.DATA.VAL.LAYOUT, cfg.DATA.VAL.SPLIT, cfg.DATA.TARGET.SPLIT) == ("cityscapes", "val", "train")
        assert cfg.DATA.STREETS.VERSION == get_config().DATA.STREETS.VERSION  # none of the drawing's


def test_the_embedded_benchmark_carries_the_version_of_its_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = resolved()
    assert before.DATA.STREETS.VERSION == datasets.streets.VERSION
    monkeypatch.setattr(datasets.streets, "VERSION", "another")
    assert run_id(resolved()) != run_id(before)
    on_disk = resolved(protocol="gta-cityscapes")
    monkeypatch.undo()
    assert run_id(resolved(protocol="gta-cityscapes")) == run_id(on_disk)


def test_overrides_go_above_the_protocol_and_leave_the_rest() -> None:
    before, after = flatten(resolved()), flatten(resolved("SOLVER.ITERS", "7", "TERMS.MRM.RATIO", "0.6"))
    assert {key: after[key] for key in after if after[key] != before[key]} == {
        "SOLVER.ITERS": 7,
        "TERMS.MRM.RATIO": 0.6,
    }


def test_a_resolved_config_cannot_be_changed_and_the_defaults_are_not_shared() -> None:
    cfg = resolved("SOLVER.ITERS", "7")
    with pytest.raises(AttributeError):
        cfg.SOLVER.ITERS = 8
    assert get_config().SOLVER.ITERS == 40000


def test_every_term_has_its_settings_as_keys_and_reads_them_back() -> None:
    cfg = resolved("TERMS.MRM.RATIO", "0.25", "TERMS.MRM.VIEW", "target")
    assert from_node(MRMSettings, cfg.TERMS.MRM) == MRMSettings(ratio=0.25, view="target", resolution=4)
    assert set(cfg.TERMS) == {name.upper().replace("-", "_") for name in TERMS}


# Values


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("SOLVER.ENCODER_LR", "6e-5", 6e-5),  # text in YAML 1.1
        ("SOLVER.ENCODER_LR", "6.0e-5", 6e-5),
        ("SOLVER.ENCODER_LR", "1", 1.0),
        ("SOLVER.ITERS", "400", 400),
        ("INPUT.CROP", "512x256", (512, 256)),
        ("INPUT.CROP", "[512, 256]", (512, 256)),
        ("TEST.RESIZE", "[]", ()),
        ("WEIGHTS", "none", "none"),
        ("WEIGHTS", "weights/mit_b5.pth", "weights/mit_b5.pth"),
        ("DEVICE", "cuda:1", "cuda:1"),
        ("DATA.ROOT", "/data/sets", "/data/sets"),
        ("TERMS.MRM.RATIO", "0", 0.0),
    ],
)
def test_words_become_values_of_the_keys_type(key: str, text: str, value: Any) -> None:
    found = flatten(resolved(key, text))[key]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("SOLVER.ITERS", "many", "SOLVER.ITERS is 'many', expected a whole number (default 350)"),
        ("SOLVER.ITERS", "4.5", "SOLVER.ITERS is 4.5, expected a whole number"),
        ("SOLVER.ITERS", "true", "SOLVER.ITERS is True, expected a whole number"),
        ("SOLVER.ITERS", "[4]", "SOLVER.ITERS is [4], expected a whole number"),
        ("SOLVER.ENCODER_LR", "fast", "SOLVER.ENCODER_LR is 'fast', expected a number (default 0.001)"),
        ("SOLVER.ENCODER_LR", "true", "SOLVER.ENCODER_LR is True, expected a number"),
        ("SOLVER.ENCODER_LR", "", "SOLVER.ENCODER_LR is None, expected a number"),
        ("WEIGHTS", "12", "WEIGHTS is 12, expected text (default 'imagenet')"),
        ("INPUT.CROP", "512", "INPUT.CROP is 512, expected a size such as 512x256 (default (128, 128))"),
        ("INPUT.CROP", "512x", "INPUT.CROP is '512x', expected a size"),
        ("INPUT.CROP", "1x2x3", "INPUT.CROP is '1x2x3', expected a size"),
        ("INPUT.CROP", "[512, 25.6]", "INPUT.CROP is [512, 25.6], expected a size"),
        ("INPUT.CROP", "[512, true]", "INPUT.CROP is [512, True], expected a size"),
        ("INPUT.CROP", "[512,", "INPUT.CROP: cannot read the value '[512,'"),
    ],
)
def test_a_value_of_another_type_is_named_with_what_was_expected(key: str, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolved(key, text)
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_value_that_looks_like_an_impossible_date_is_told_in_one_line() -> None:
    with pytest.raises(ConfigError, match="WEIGHTS"):
        parse_pairs(["WEIGHTS", "2024-13-45"])


def test_a_key_without_a_value_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'SOLVER\.BATCH' has no value"):
        parse_pairs(["SOLVER.ITERS", "4", "SOLVER.BATCH"])
    assert parse_pairs([]) == {}


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("SOLVER.ITER", "did you mean SOLVER.ITERS?"),
        ("solver.iters", "did you mean SOLVER.ITERS?"),
        ("TERMS.MRM.RATO", "did you mean TERMS.MRM.RATIO?"),
        ("TERMS.MRM", "did you mean TERMS.M"),  # a section is no key
        ("XYZ", "known sections: "),
    ],
)
def test_an_unknown_key_suggests_the_nearest(key: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolved(key, "1")
    assert f"KEY VALUE: unknown key {key}; {hint}" in str(caught.value)


def test_the_error_says_whose_key_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text("NETWORK: daformer-lite0\nSOLVER: {ITER: 4}\n")
    monkeypatch.setattr("benchmarks.config.protocol_file.PROTOCOLS", tmp_path)
    assert protocols() == ["mine"]
    with pytest.raises(ConfigError, match=r"^protocol mine: unknown key SOLVER.ITER; did you mean SOLVER.ITERS\?$"):
        RunSpec("mine", "dacs").resolve()


def test_a_protocol_says_what_is_different_from_its_base(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("BASE: gta-cityscapes\nSOLVER: {ITERS: 7}\nINPUT: {CROP: [256, 256]}\n")
    base = protocol_values("gta-cityscapes")
    assert protocol_values(str(file)) == base | {"SOLVER.ITERS": 7, "INPUT.CROP": [256, 256]}
    assert RunSpec(str(file), "dacs").resolve().INPUT.SOURCE_RESIZE == (1280, 720)
    for word in ("gta-cityscape", "[streets]", str(file)):
        file.write_text(f"BASE: {word}\n")
        with pytest.raises(ConfigError, match=r"mine.yaml: BASE is .*, expected a protocol that ships: "):
            protocol_values(str(file))


@pytest.mark.parametrize(
    ("spec", "error", "line"),
    [
        (RunSpec("street", "dacs"), ConfigError, "unknown protocol 'street'; did you mean 'streets'?"),
        (RunSpec("zzz", "dacs"), ConfigError, "unknown protocol 'zzz'; known: cityscapes-acdc, "),
        (RunSpec("streets", "dasc"), MethodError, "unknown method 'dasc'; did you mean 'dacs'?"),
        (RunSpec("streets", "dacs+mrn"), MethodError, "unknown method 'mrn' in 'dacs+mrn'; did you mean 'mrm'?"),
        (RunSpec("streets", ""), MethodError, "unknown method ''; known: "),
        (RunSpec("streets", "mrm+mrm"), MethodError, "'mrm' is named twice"),
        (RunSpec("streets", "dacs+target-only"), MethodError, "'dacs' and 'target-only' are both hosts"),
        (RunSpec("streets", "source-only+mrm"), MethodError, "'mrm' needs pseudo-labels, which 'source-only'"),
        (
            RunSpec("streets", "dacs", "dafomer-lite0"),
            ConfigError,
            "unknown network 'dafomer-lite0'; did you mean 'daformer-lite0'?",
        ),
        (RunSpec("streets", "dacs", ""), ConfigError, "unknown network ''; known: "),
    ],
)
def test_an_unknown_name_suggests_the_nearest(spec: RunSpec, error: type[Exception], line: str) -> None:
    with pytest.raises(error) as caught:
        spec.resolve()
    assert line in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"SOLVER.ITERS": 0}, "SOLVER.ITERS is 0, expected at least 1"),
        ({"SOLVER.BATCH": -2}, "SOLVER.BATCH is -2, expected at least 1"),
        ({"TEST.PERIOD": 0}, "TEST.PERIOD is 0, expected at least 1"),
        ({"CHECKPOINT_PERIOD": 0}, "CHECKPOINT_PERIOD is 0, expected at least 1"),
        ({"SOLVER.PRECISION": "fp8"}, "SOLVER.PRECISION is 'fp8', expected fp32, tf32, bf16 or fp16"),
        ({"TEST.CLASSES": 18}, "TEST.CLASSES is 18, expected 19: the classes that a source of layout gta labels"),
        ({"TERMS.MRM.RATIO": 1.01}, "TERMS.MRM.RATIO is 1.01, expected a number from 0 to 1"),
        ({"TERMS.MIC.RATIO": -0.1}, "TERMS.MIC.RATIO is -0.1, expected a number from 0 to 1"),
        ({"TERMS.MIXUP.VIEW": "sauce"}, "TERMS.MIXUP.VIEW is 'sauce', expected mixed or target"),
        *(
            ({f"TERMS.{key}": word}, f"TERMS.{key} is {word!r}, expected {words}; did you mean {near!r}?")
            for key, word, words, near in (
                ("MIC.TEACHER", "hosts", "host or own", "host"),
                ("MIC.DOMAIN", "sorce", "target, source or both", "source"),
                ("MIXUP.SCOPE", "globl", "global or local", "global"),
                ("MRM_INPUT.VIEW", "targte", "mixed or target", "target"),
                ("MRM.STRATEGY", "blocks", "random, block, confidence or class", "block"),
                ("MRM.DOMAIN", "sauce", "target, source or both", "source"),
                ("MRM.TRAINED", "encode", "both, encoder or decoder", "encoder"),
            )
        ),
        ({"TERMS.MIC.WEIGHT": -1}, "TERMS.MIC.WEIGHT is -1.0, expected a finite number of at least 0"),
    ],
)
def test_a_value_out_of_range_is_told_in_one_line(overrides: Mapping[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunSpec("streets", "dacs", overrides=overrides).resolve()
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [("TERMS.MRM.RATIO", 0), ("TERMS.MRM.RATIO", 1), ("TERMS.MIC.WEIGHT", 0), ("TEST.PERIOD", 1), ("TEST.CLASSES", 19)],
)
def test_values_at_the_edge_are_allowed(key: str, value: float) -> None:
    assert flatten(RunSpec("streets", "dacs", overrides={key: value}).resolve())[key] == value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("TEST.RESIZE", [5]),  # IndexError in benchmarks.data.from_config._size
        ("TEST.RESIZE", [5, 5, 5]),  # the third is dropped, yet it changes the run's id
        ("DATA.STREETS.SIZE", []),  # ValueError in datasets.streets
        ("SOLVER.ENCODER_LR", "nan"),
        ("SOLVER.ENCODER_LR", -1.0),
        ("SOLVER.WARMUP_ITERS", -5),
        ("TERMS.MRM.WEIGHT", "nan"),
        ("SELF_TRAINING.MOMENTUM", 1.5),
        ("SELF_TRAINING.THRESHOLD", -3.0),
        ("NUM_WORKERS", -2),
        ("TERMS.MIC.BLOCK", 0),
    ],
)
def test_a_value_that_no_run_can_use_is_refused_before_it_starts(key: str, value: Any) -> None:
    with pytest.raises((ConfigError, MethodError), match=re.escape(key)):
        RunSpec("streets", "mic+mrm", overrides={key: value}).resolve()


@pytest.mark.parametrize("key", ["SEED", "METHOD", "PROTOCOL"])
def test_a_key_that_the_spec_itself_sets_is_not_ignored_in_overrides(key: str) -> None:
    """``run.py ... SEED 5`` must train seed 5 or say that --seeds is the way, not train seed 0."""
    values = {"SEED": 5, "METHOD": "dacs+mrm", "PROTOCOL": "gta-cityscapes"}
    try:
        cfg = RunSpec("streets", "dacs", overrides={key: values[key]}).resolve()
    except ConfigError:
        return
    assert cfg[key] == values[key]


def test_a_pair_may_be_one_word() -> None:
    words = ["SOLVER.ITERS=5", "SOLVER.BATCH", "4", "DATA.SOURCE.IDS", "7=road", "SOLVER.POWER=0.9"]
    expected = {"SOLVER.ITERS": 5, "SOLVER.BATCH": 4, "DATA.SOURCE.IDS": "7=road", "SOLVER.POWER": 0.9}
    assert parse_pairs(words) == expected
