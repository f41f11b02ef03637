"""Methods, networks and metrics from outside the checkout: what is imported, what it decides, and who knows of it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import SMALL, pairs
from plugged_in import forgotten
from record_files import read_record

from benchmarks.config import plugins
from benchmarks.config.plugins import VARIABLE, import_plugins, used_plugins
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder, run_id
from benchmarks.config.spec import RunSpec
from benchmarks.config.stored_config import stored
from benchmarks.core.checkout import ROOT
from benchmarks.core.command import _code
from benchmarks.core.errors import ConfigError
from benchmarks.engine.run_record import initial_record
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.launch.on_slurm import submitter
from benchmarks.launch.workers import WorkerJob, make_run_in_job
from benchmarks.trained.opened_run import load_segmentor, open_run
from datasets.base.errors import DataError
from results.collect import main as main_of_results
from results.records.record import FAILED, FINISHED
from results.tables.frame import collect
from results.tables.methods_table import methods_table
from slurm.jobs.profile import Profile
from slurm.jobs.submission import Submitter

METHOD, NETWORK = ROOT / "examples/own_method/entropy.py", ROOT / "examples/own_network/tiny.py"
METRIC = ROOT / "examples/own_metric/frequency.py"
QUICK = SMALL | {"SOLVER.ITERS": 2, "TEST.PERIOD": 2, "NUM_WORKERS": 0}


@pytest.fixture(autouse=True)
def own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(VARIABLE, raising=False)
    with forgotten():
        yield


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with copies of the examples."""
    for file in (METHOD, NETWORK, METRIC):
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def started(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command of the checkout, in the working folder."""
    command = [sys.executable, str(ROOT / words[0]), *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, check=False)
    assert "Traceback" not in done.stderr
    return done


def main_of(command: str, *words: str) -> int:
    """The exit code of a command in this process."""
    before, sys.argv = sys.argv, [command, *words]
    try:
        return _code(import_module(command).main)
    finally:
        sys.argv = before


# What is imported


@pytest.mark.parametrize("words", [["entropy.py", "tiny.py"], ["./entropy.py", "tiny.py", "entropy.py"]])
def test_each_is_imported_once_and_handed_on_to_processes_started_later(elsewhere: Path, words: list[str]) -> None:
    import_plugins(words)
    import_plugins(words[:1])
    method, network = plugins.plugins()
    assert method.registered == {("method", "entropy"), ("term", "entropy")}
    assert network.registered == {("network", "tiny")}
    assert (method.name, method.digest) == ("entropy.py", digest(METHOD))
    assert os.environ[VARIABLE] == os.pathsep.join(str((elsewhere / name).resolve()) for name in words[:2])


def test_the_environment_names_them_too(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(elsewhere))
    monkeypatch.setenv(VARIABLE, f"~/entropy.py{os.pathsep}")
    import_plugins(["tiny.py"])
    assert [plugin.name for plugin in plugins.plugins()] == ["entropy.py", "tiny.py"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module in a package, which imports another of it."""
    folder = tmp_path / "site" / "mylab"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "inner" / "__init__.py").write_text("from mylab.inner.entropy import Entropy as Entropy")
    shutil.copy(METHOD, folder / "inner")
    monkeypatch.syspath_prepend(folder.parent)
    return folder


@pytest.mark.parametrize("name", ["mylab.inner.entropy", "mylab.inner"])
def test_a_module_is_taken_with_its_package(package: Path, name: str) -> None:
    import_plugins([name])
    (plugin,) = plugins.plugins()
    assert set(plugin.copies()) == {"mylab/__init__.py", "mylab/inner/__init__.py", "mylab/inner/entropy.py"}
    assert all(file == (package.parent / path).resolve() for path, file in plugin.copies().items())
    assert plugins.handed_over(Path("code")) == {VARIABLE: name}
    assert used_plugins("entropy", "daformer-lite0") == (plugin.digest,)
    assert (plugin.digest == digest(METHOD)) == (name == "mylab.inner.entropy")


def test_each_file_of_a_package_is_in_its_digest(package: Path) -> None:
    found = set()
    for text in ("", "# edited\n"):
        (package / "inner" / "more.py").write_text(text)
        with forgotten():
            import_plugins(["mylab.inner"])
            found.add(plugins.plugins()[0].digest)
    assert len(found) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "mine.py: no such file, expected Python code that registers methods, networks or metrics"),
        ("import no_such_package", "cannot be imported (ModuleNotFoundError: No module named 'no_such_package')"),
        ("def (", "cannot be imported (SyntaxError: invalid syntax (mine.py, line 1))"),
        ("raise SystemExit('no')", "cannot be imported (SystemExit: no)"),
        (
            METHOD.read_text().replace('MethodPart("entropy"', 'MethodPart("dacs"'),
            "cannot be imported (ValueError: two methods are called 'dacs')",
        ),
        (
            METHOD.read_text().replace('@term("entropy")', '@term("mrm")'),
            "cannot be imported (ValueError: two terms are called 'mrm': MRM and Entropy)",
        ),
        (
            NETWORK.read_text().replace('    "tiny",', '    "daformer-lite0",'),
            "cannot be imported (ValueError: two networks are called 'daformer-lite0')",
        ),
        (
            METRIC.read_text().replace('@metric("fwIoU")', '@metric("MIOU")'),
            "cannot be imported (ValueError: two metrics are called 'mIoU')",
        ),
        (
            METRIC.read_text().replace('@metric("fwIoU")', '@metric("fw_IoU")'),
            "cannot be imported (ValueError: a metric is called 'fw_IoU', expected a word of letters and digits",
        ),
    ],
)
def test_one_that_cannot_be_imported_is_one_line(
    elsewhere: Path, text: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        Path("mine.py").write_text(text)
    assert main_of("benchmarks.run", "--plugin", "mine.py", "--list") == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: --plugin") and len(err.splitlines()) == 1
    assert told in err


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("no_such_module", r"^--plugin no_such_module: cannot be imported \(ModuleNotFoundError: "),
        ("math", "^--plugin math: has no Python file, expected a module that is written in one$"),
        ("a:b.py", "^--plugin a:b.py: expected a path without ':', which separates those of "),
    ],
)
def test_a_name_that_is_none_is_one_line(word: str, told: str) -> None:
    with pytest.raises((ConfigError, DataError), match=told):
        import_plugins([word])


COMMANDS = {
    "benchmarks.run": [],
    "benchmarks.predict": ["--run", "RUN", "a.png"],
    "benchmarks.evaluate": ["--run", "RUN"],
    "benchmarks.export": ["--run", "RUN"],
    "benchmarks.check_data": [],
    "benchmarks.step_memory": [],
    "benchmarks.speed": [],
    "benchmarks.gpus_speed": [],
    "benchmarks.status": [],
    "benchmarks.weights": ["--list"],
    "ablations.run": ["mask-ratio"],
    "ablations.search": [],
    "ablations.cost": [],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("by", ["option", "variable"])
def test_every_command_that_makes_or_opens_runs_or_knows_networks_imports_them(
    command: str, by: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = list(COMMANDS[command])
    if by == "variable":
        monkeypatch.setenv(VARIABLE, "none.py")
    else:
        words += ["--plugin", "none.py"]
    assert main_of(command, *words) == 2
    key = f"${VARIABLE}" if by == "variable" else "--plugin"
    assert capsys.readouterr().err.startswith(f"error: {key}: {(elsewhere / 'none.py').resolve()}: no such file")


def test_the_list_shows_them(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_of("benchmarks.run", "--list", "--plugin", "entropy.py", "--plugin", "tiny.py") == 0
    out = capsys.readouterr().out
    assert "+entropy" in out and "entropy minimization on the mixed image" in out
    assert "four convolutions at strides 4 and 8, a linear decoder" in out


# What it decides


def identity(file: Path, method: str, network: str | None = None) -> str:
    with forgotten():
        import_plugins([str(file)])
        return run_id(RunSpec("streets", method, network, overrides={"WEIGHTS": "none"}).resolve())


def test_ids_hold_the_content_of_those_that_the_run_uses_and_no_path(elsewhere: Path) -> None:
    plain = run_id(RunSpec("streets", "dacs", overrides={"WEIGHTS": "none"}).resolve())
    assert identity(METHOD, "dacs") == identity(NETWORK, "dacs") == identity(METRIC, "dacs") == plain
    renamed = elsewhere / "renamed.py"
    for file, method, network in ((METHOD, "dacs+entropy", None), (NETWORK, "dacs", "tiny")):
        usual = identity(file, method, network)
        shutil.copy(file, renamed)
        assert identity(renamed, method, network) == usual
        renamed.write_text(f"{file.read_text()}\n")
        assert identity(renamed, method, network) != usual


def test_a_weight_of_zero_resolves(elsewhere: Path) -> None:
    assert run_id(RunSpec("streets", "dacs").resolve())  # the defaults are known before the term
    import_plugins(["entropy.py"])
    cfg = RunSpec("streets", "entropy", overrides={"TERMS.ENTROPY.WEIGHT": 0}).resolve()
    assert run_id(cfg) != run_id(RunSpec("streets", "entropy").resolve())


def test_the_key_is_set_by_the_option_alone() -> None:
    with pytest.raises(ConfigError, match="PLUGINS is set by --plugin"):
        RunSpec("streets", "dacs", overrides={"PLUGINS": ["0123456789abcdef"]}).resolve()


def test_a_record_names_all_that_were_imported(elsewhere: Path) -> None:
    cfg = RunSpec("streets", "dacs").resolve()
    assert "plugins" not in initial_record(Run.at(elsewhere, cfg)).content
    import_plugins(["entropy.py"])
    assert initial_record(Run.at(elsewhere, cfg)).content["plugins"] == {digest(METHOD): "entropy.py"}
    assert cfg.PLUGINS == ()


def test_a_run_that_was_begun_with_another_version_is_not_gone_on_with(
    small_config: Callable[..., Any], elsewhere: Path
) -> None:
    import_plugins(["entropy.py"])
    cfg = small_config("entropy")
    cfg.defrost()
    cfg.PLUGINS = ("0123456789abcdef",)
    cfg.freeze()
    record = run_one(Run.at(elsewhere / "run", cfg), RunWatcher()).content
    assert record["status"] == FAILED
    assert f"PLUGINS is 0123456789abcdef, {digest(METHOD)} of the plug-ins as they are now" in record["reason"]


def test_a_run_folder_imports_none_and_says_what_to_name(elsewhere: Path, caplog: pytest.LogCaptureFixture) -> None:
    marker = elsewhere / "imported"
    for name in ("entropy.py", "tiny.py"):
        Path(name).write_text(f"{Path(name).read_text()}\nfrom pathlib import Path\nPath({str(marker)!r}).touch()\n")
    with forgotten():
        import_plugins(["entropy.py", "tiny.py"])
        for method, network in (("entropy", None), ("dacs", "tiny")):
            (elsewhere / method).mkdir()
            cfg = RunSpec("streets", method, network, overrides={"WEIGHTS": "none"}).resolve()
            (elsewhere / method / "config.yaml").write_text(stored(cfg))
    marker.unlink()
    for method, name in (("entropy", "entropy.py"), ("dacs", "tiny.py")):
        with pytest.raises(ConfigError, match=rf"unknown .*expected --plugin with .*{digest(Path(name))}\)$") as error:
            open_run(str(elsewhere / method), elsewhere)
        assert len(str(error.value).splitlines()) == 1
    assert not marker.exists()
    import_plugins(["entropy.py", str(NETWORK)])
    assert open_run(str(elsewhere / "entropy"), elsewhere).cfg.METHOD == "dacs+entropy"
    assert caplog.records == []
    assert open_run(str(elsewhere / "dacs"), elsewhere).cfg.NETWORK == "tiny"  # of another version
    assert f"made with code of the digest {digest(Path('tiny.py'))}" in caplog.text


# Who knows of it


@pytest.mark.slow
def test_the_example_of_a_method_is_trained_by_local_workers(elsewhere: Path) -> None:
    words = ("--plugin", "entropy.py", "--methods", "entropy", "--launcher", "local", "--parallel", "1")
    done = started("benchmarks/run.py", *words, *pairs(QUICK))
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = Path("runs").glob("streets/dacs+entropy/*/*/record.json")
    record = read_record(file.parent)
    assert record is not None and record["status"] == FINISHED
    assert record["plugins"] == {digest(METHOD): "entropy.py"}
    assert yaml.safe_load((file.parent / "config.yaml").read_text())["PLUGINS"] == [digest(METHOD)]
    assert '"loss_entropy"' in (file.parent / "metrics.json").read_text()


@pytest.mark.slow
def test_the_example_of_a_network_is_trained_and_opened(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--methods", "mrm", *pairs(QUICK | {"NETWORK": "tiny"}))
    with forgotten():
        os.environ[VARIABLE] = "tiny.py"
        assert main_of("benchmarks.run", *words) == 0
    (file,) = Path("runs").glob("streets/dacs+mrm/tiny/*/record.json")
    assert main_of("benchmarks.export", "--run", file.parent.name) == 2
    assert "unknown network 'tiny'; expected --plugin" in capsys.readouterr().err
    import_plugins(["tiny.py"])
    run = open_run(file.parent.name, Path("runs"))
    assert run.finished and load_segmentor(run, "teacher", run.checkpoint()).name == "tiny"


def weighted(result: dict[str, Any], pixels: dict[str, int]) -> float:
    """IoU of each class, weighted by its pixels."""
    return sum(count * (result["iou"][name] or 0.0) for name, count in pixels.items()) / sum(pixels.values())


@pytest.mark.slow
def test_the_example_of_a_metric_is_in_record_tables_and_an_evaluation_of_a_finished_run(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--methods", "source-only,dacs", *pairs(QUICK))
    with forgotten():
        assert main_of("benchmarks.run", "--plugin", "frequency.py", *words) == 0
    out = capsys.readouterr().out
    contents = [json.loads(file.read_text()) for file in sorted(Path("runs").glob("streets/*/*/*/record.json"))]
    dacs, plain = contents
    expected = {each["id"]: weighted(each["result"]["student"], each["validation"]["labelled_pixels"])
                for each in contents}  # fmt: skip
    assert plain["plugins"] == dacs["plugins"] == {digest(METRIC): "frequency.py"}
    for each in contents:
        assert each["result"]["student"]["metrics"] == {"fwIoU": {"19": pytest.approx(expected[each["id"]])}}
    teacher = weighted(dacs["result"]["teacher"], dacs["validation"]["labelled_pixels"])
    lines = [line.split("  ") for line in out.splitlines()]
    (head,) = [line for line in lines if line[0] == "method"]
    place = [cell.strip() for cell in head if cell.strip()].index("fwIoU (19)")
    shown = {line[0]: [cell.strip() for cell in line if cell.strip()][place] for line in lines if len(line) > 5}
    assert shown["dacs"] == f"{expected[dacs['id']]:.1f}" and shown["source-only"] == f"{expected[plain['id']]:.1f}"
    # Tables of what was measured need the plug-in no more.
    assert main_of_results(["runs", "--format", "csv"]) == 0
    rows = {row["run"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert {run: float(row["fwiou_19"]) for run, row in rows.items()} == pytest.approx(expected)
    assert float(rows[dacs["id"]]["teacher_fwiou"]) == pytest.approx(teacher)
    assert rows[plain["id"]]["teacher_fwiou"] == ""
    comparison = methods_table(collect("runs")).frame
    assert comparison["fwiou_19"].tolist() == pytest.approx([expected[each["id"]] for each in contents])
    assert main_of_results(["runs"]) == 0 and "fwIoU (19)" in capsys.readouterr().out
    # It decides no number: without it the runs are the same ones.
    assert main_of("benchmarks.run", *words) == 0
    assert "source-only seed 0: finished before" in capsys.readouterr().out
    import_plugins(["frequency.py"])
    assert main_of("benchmarks.evaluate", "--run", plain["id"]) == 0
    out = capsys.readouterr().out
    assert "Equal to the record, bit for bit." in out
    assert f"{expected[plain['id']]:.2f}" in next(line for line in out.splitlines() if line.startswith("fwIoU, "))
    (file,) = Path("runs").glob(f"*/*/*/{plain['id']}/evaluation.json")
    (entry,) = json.loads(file.read_text())["evaluations"]
    assert entry["metrics"] == plain["result"]["student"]["metrics"]


BROKEN = """
from benchmarks.config.metrics import metric

@metric("broken")
def broken(counts, classes):
    if counts.trace() > 1000:  # of images, not of what is tried before
        return {value}
    return 1.0
"""


@pytest.mark.slow
def test_a_metric_that_fails_takes_no_result_away(
    small_config: Callable[..., Any], elsewhere: Path, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    Path("broken.py").write_text(BROKEN.format(value="1 / 0 if len(classes) else 1"))
    import_plugins(["broken.py", "frequency.py"])
    cfg = small_config("source-only", overrides=QUICK)
    record = run_one(Run.at(run_folder(elsewhere / "runs", cfg), cfg), RunWatcher())
    fault = "metric broken raised ZeroDivisionError: division by zero"
    assert record.status is FINISHED and record.result.student.faults == {"broken": fault}
    assert set(record.result.student.means) == {"mIoU", "fwIoU"} and record.result.student.headline is not None
    assert caplog.text.count(fault) == 1
    capsys.readouterr()
    assert main_of("benchmarks.evaluate", "--run", record.id) == 2
    out, err = capsys.readouterr()
    assert "Equal to the record, bit for bit." in out and err == f"error: {fault}; the others are written\n"


def test_a_metric_that_cannot_be_had_is_told_before_anything_is_trained(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.py").write_text(BROKEN.format(value="0").replace("return 1.0", "return [1.0]"))
    assert main_of("benchmarks.run", "--plugin", "broken.py", "--methods", "source-only", *pairs(QUICK)) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: metric broken returned numbers of shape (1,), expected one number (tried on counts")
    assert len(err.splitlines()) == 1 and not list(Path("runs").rglob("record.json"))


def submitted(output: Path) -> Submitter:
    return submitter(output, Profile())


@pytest.mark.slow
def test_jobs_import_the_copy_that_they_were_submitted_with(elsewhere: Path) -> None:
    import_plugins(["entropy.py"])
    cfg = RunSpec("streets", "entropy", overrides=QUICK).resolve()
    folder = run_folder(elsewhere / "runs", cfg)
    made = submitted(elsewhere / "runs")
    call = made._call(make_run_in_job, WorkerJob("entropy", Run.at(folder, cfg)))
    Path("call.pkl").write_bytes(pickle.dumps(call))
    Path("entropy.py").write_text("raise RuntimeError('edited while it waits in the queue')")
    # As in a job: of the variables of the command, what sbatch may hand over counts for less than what is written down.
    environment = {**os.environ, "PYTHONPATH": str(made.code)}
    done = subprocess.run(
        [sys.executable, "-c", "import pickle; pickle.load(open('call.pkl', 'rb'))()"],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = read_record(folder)
    assert record is not None and (record["status"], record["plugins"]) == (FINISHED, {digest(METHOD): "entropy.py"})


def test_without_any_the_copy_and_the_jobs_are_what_they_were(elsewhere: Path) -> None:
    made = submitted(elsewhere / "runs")
    assert VARIABLE not in made.environment and not (made.code / plugins.FOLDER).exists()


def test_a_dry_run_for_slurm_knows_them(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--plugin", "entropy.py", "--methods", "entropy", "--dry-run", "--launcher", "slurm")
    assert main_of("benchmarks.run", *words, *pairs(QUICK)) == 0
    out = capsys.readouterr().out
    assert "dacs+entropy seed 0" in out and "#SBATCH" in out
