"""A term of one's own: the README's example, and settings of every kind, which leave all other methods as they are."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import SMALL
from detectron2.utils.events import EventStorage

from benchmarks.config.keys import flatten
from benchmarks.config.overrides import parse_pairs
from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.core.checkout import ROOT
from benchmarks.core.errors import ConfigError
from benchmarks.tools.random_step import random_trainer
from benchmarks.trained.opened_run import open_run
from methods.base.errors import MethodError
from methods.framework.recipes import PARTS
from methods.framework.term import TERMS, Term, TermSettings, term
from methods.networks import build_segmentor

Load = Callable[[str], None]

KINDS = '''
from __future__ import annotations
from dataclasses import dataclass
from methods.base.ranges import above_zero, at_least_zero
from methods.framework.recipes import MethodPart, register
from methods.framework.step import MIXED
from methods.framework.term import Term, TermSettings, term

@dataclass(frozen=True)
class KindsSettings(TermSettings):
    ratio: float = 2.0
    threshold: float = 1.5
    offset: float = -0.5
    steps: int = -3
    block: int = 0
    momentum: float = -1.0
    size: tuple[int, ...] = ()
    limit: float | None = None
    cap: int | None = 4
    margins: tuple[float, ...] = (0.25, -1.0)
    scales: tuple[float, float] = at_least_zero((0.5, 1.0))
    words: tuple[str, ...] = ("one", "other")
    bound: float | None = above_zero(None)

@term("kinds")
class Kinds(Term[KindsSettings]):
    Settings = KindsSettings
    view = MIXED

    def losses(self, step):
        s = self.settings
        limit = 0.0 if s.limit is None else s.limit
        return {"loss_kinds": step.mixed.logits.square().mean() * (s.ratio + s.offset + sum(s.margins) + limit)}

register(MethodPart("kinds", "settings of every kind", terms=("kinds",)))
'''


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Load a module's text; what it registers is gone after the test."""
    terms, parts, loaded = dict(TERMS), dict(PARTS), list[str]()

    def from_text(text: str) -> None:
        name = f"segshift_own_term_{len(loaded)}"
        path = tmp_path / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        loaded.append(name)
        spec.loader.exec_module(module)

    yield from_text
    for name in loaded:
        del sys.modules[name]
    for registered, before in ((TERMS, terms), (PARTS, parts)):
        registered.clear()
        registered.update(before)  # type: ignore[arg-type]


def losses(method: str, **overrides: Any) -> list[dict[str, float]]:
    """Of two steps on random images."""
    cfg = RunSpec("streets", method, overrides=SMALL | overrides).resolve()
    trainer, found = random_trainer(cfg, torch.device("cpu")), []
    with EventStorage() as trainer.storage:
        for trainer.iter in range(2):
            trainer.run_step()
            found.append(trainer.check_losses())
    return found


def example() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"\(examples/own_method/entropy\.py\):\n\n```python\n(.*?)```", text, flags=re.DOTALL)
    assert code == (ROOT / "examples/own_method/entropy.py").read_text(encoding="utf-8")
    return str(code)


@pytest.mark.slow
def test_the_readmes_example_trains_beside_others_and_leaves_them_as_they_are(load: Load) -> None:
    alone, identity = losses("dacs"), run_id(RunSpec("streets", "dacs").resolve())
    load(example())
    with_it, half = losses("dacs+entropy"), losses("entropy", **{"TERMS.ENTROPY.KEPT": 0.1})
    for step in (*with_it, *half):
        assert step["loss_entropy"] > 0
    assert half[0]["loss_entropy"] < 0.5 * with_it[0]["loss_entropy"]  # a fifth of the pixels
    assert with_it[0]["loss_mixed"] == alone[0]["loss_mixed"]
    assert losses("dacs") == alone and run_id(RunSpec("streets", "dacs").resolve()) == identity
    assert "loss_mrm" in losses("dacs+mrm+entropy")[0]
    with pytest.raises(ConfigError, match=r"^TERMS\.ENTROPY\.TEMPERATURE is 0\.0, expected a finite number above 0$"):
        RunSpec("streets", "entropy", overrides={"TERMS.ENTROPY.TEMPERATURE": 0}).resolve()


@pytest.mark.slow
def test_the_example_of_a_schedule_scales_the_loss_of_a_term_that_ships(load: Load) -> None:
    """λ is a fourth at the first of four iterations, a half at the second; the other losses of the first stay."""
    small = {"DIM": 16, "BLOCKS": 1, "HEADS": 2, "RESOLUTION": 4}
    load((ROOT / "examples/own_method/warmup.py").read_text(encoding="utf-8"))
    (plain, _), (first, second), (at_once, _) = (
        losses(f"dacs+{name}", **{f"TERMS.{key}.{field}": value for field, value in (small | more).items()})
        for name, key, more in (
            ("mrm", "MRM", {}),
            ("mrm-warm", "MRM_WARM", {"WARMUP": 4}),
            ("mrm-warm", "MRM_WARM", {"WARMUP": 1}),
        )
    )
    assert first["loss_mrm"] == pytest.approx(at_once["loss_mrm"] / 4, rel=1e-6)
    assert first["loss_mixed"] == at_once["loss_mixed"] == plain["loss_mixed"]
    assert 0.4 < second["loss_mrm"] / at_once["loss_mrm"] < 0.6
    assert plain["loss_mrm"] == pytest.approx(at_once["loss_mrm"], rel=0.2)  # another initial Rebuilder: a name, a seed


def test_the_example_that_masks_before_the_last_stage_makes_the_last_of_what_it_rebuilt(load: Load) -> None:
    """At mask 0 the features are the encoder's own; at mask 1 the last stage heeds none of them, but the Rebuilder."""
    load((ROOT / "examples/own_method/before_last_stage.py").read_text(encoding="utf-8"))
    cls = TERMS["mrm-early"]
    torch.manual_seed(0)
    student = build_segmentor("daformer-lite0", 19, "none").eval()
    early = cls(cls.Settings(dim=16, blocks=1, heads=2), student, (64, 64))
    features = student.encoder(torch.rand(2, 3, 64, 64))
    nothing, everything = torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8)
    torch.testing.assert_close(early.fused(student, features, nothing), features)
    rebuilt = early.fused(student, features, everything)
    assert [feature.shape for feature in rebuilt] == [feature.shape for feature in features]
    rebuilt[-1].sum().backward()
    heeded = [[bool(p.grad.any()) for p in part.parameters()] for part in student.encoder.blocks]
    assert not any(any(part) for part in heeded[:11]) and all(all(part) for part in heeded[11:])
    assert early.rebuilder.mask_token.grad.any()
    with pytest.raises(MethodError, match=r"^TERMS\.MRM_EARLY\.OBJECTIVE is 'mask-only': expected 'pixel-class"):
        RunSpec("streets", "dacs+mrm-early", overrides={"TERMS.MRM_EARLY.OBJECTIVE": "mask-only"}).resolve()


@pytest.mark.slow
def test_settings_of_every_kind_break_no_method_and_work_in_their_own(load: Load) -> None:
    before = run_id(RunSpec("streets", "dacs").resolve())
    load(KINDS)
    assert run_id(RunSpec("streets", "dacs").resolve()) == before
    assert losses("dacs")[1]["loss_mixed"] > 0
    plain, more = losses("kinds"), losses("kinds", **{"TERMS.KINDS.LIMIT": 0.75})
    assert more[0]["loss_kinds"] == pytest.approx(2 * plain[0]["loss_kinds"], rel=1e-5)  # 1.5 for 0.75


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("RATIO", "3.5", 3.5),
        ("OFFSET", "-2", -2.0),
        ("STEPS", "-7", -7),
        ("LIMIT", "0.25", 0.25),
        ("LIMIT", "2", 2.0),
        ("LIMIT", "1e-3", 1e-3),
        ("LIMIT", "none", None),
        ("LIMIT", "null", None),
        ("CAP", "null", None),
        ("CAP", "6", 6),
        ("MARGINS", "[0.1, 2, 1e-4]", (0.1, 2.0, 1e-4)),
        ("MARGINS", "[]", ()),
        ("SIZE", "64x32", (64, 32)),
        ("WORDS", "[third]", ("third",)),
        ("BOUND", "0.1", 0.1),
    ],
)
def test_a_setting_is_read_in_the_type_of_its_field(load: Load, key: str, text: str, value: Any) -> None:
    load(KINDS)
    cfg = RunSpec("streets", "kinds", overrides=parse_pairs([f"TERMS.KINDS.{key}", text])).resolve()
    found = flatten(cfg)[f"TERMS.KINDS.{key}"]
    assert found == value and type(found) is type(value)
    assert not isinstance(value, tuple) or [type(item) for item in found] == [type(item) for item in value]


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("LIMIT", "many", "TERMS.KINDS.LIMIT is 'many', expected a number or none (default None)"),
        ("CAP", "2.5", "TERMS.KINDS.CAP is 2.5, expected a whole number or none (default 4)"),
        ("RATIO", "null", "TERMS.KINDS.RATIO is None, expected a number (default 2.0)"),
        ("MARGINS", "[a]", "TERMS.KINDS.MARGINS is ['a'], expected numbers such as [0.5, 1] (default (0.25, -1.0))"),
        ("SCALES", "[1, 2, 3]", "TERMS.KINDS.SCALES is [1, 2, 3], expected numbers such as [0.5, 1]"),
        ("SCALES", "[1, -2]", "TERMS.KINDS.SCALES is (1.0, -2.0), expected a finite number of at least 0"),
        ("BOUND", "0", "TERMS.KINDS.BOUND is 0.0, expected a finite number above 0"),
        ("WEIGHT", "-1", "TERMS.KINDS.WEIGHT is -1.0, expected a finite number of at least 0"),
    ],
)
def test_a_setting_of_another_type_or_out_of_range_is_told(load: Load, key: str, text: str, told: str) -> None:
    load(KINDS)
    with pytest.raises(ConfigError) as caught:
        RunSpec("streets", "kinds", overrides=parse_pairs([f"TERMS.KINDS.{key}", text])).resolve()
    assert told in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_settings_of_every_kind_come_back_from_a_run_folder(load: Load, tmp_path: Path) -> None:
    load(KINDS)
    overrides = {"TERMS.KINDS.LIMIT": 0.5, "TERMS.KINDS.CAP": None, "TERMS.KINDS.MARGINS": [1.5]}
    cfg = RunSpec("streets", "kinds", overrides=overrides).resolve()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(yaml.safe_load(cfg.dump())))
    again = open_run(str(tmp_path), tmp_path).cfg
    assert again.TERMS.KINDS == cfg.TERMS.KINDS and run_id(again) == run_id(cfg)


def test_what_a_method_lacks_is_told_only_where_it_was_set() -> None:
    with pytest.raises(ConfigError, match=r"^TERMS\.MRM\.RATIO is 1\.5, expected a number from 0 to 1$"):
        RunSpec("streets", "dacs", overrides={"TERMS.MRM.RATIO": 1.5}).resolve()


def test_a_field_that_can_be_no_key_is_refused_where_the_term_is_registered(load: Load) -> None:
    from dataclasses import dataclass, field

    @dataclass(frozen=True)
    class Listed(TermSettings):
        sides: list[int] = field(default_factory=list)

    class Own(Term[Listed]):
        Settings = Listed

    with pytest.raises(TypeError, match=r"Listed\.sides is a list: expected a number"):
        term("listed")(Own)
