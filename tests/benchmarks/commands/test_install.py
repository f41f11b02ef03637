"""Set-up: the detectron2 wheel, the pinned versions, what is kept, and what a failure says."""

from __future__ import annotations

import ast
import base64
import email.parser
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import re
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from benchmarks.core.checkout import ROOT
from benchmarks.install import command, detectron2_patches, detectron2_wheel, environment, project
from benchmarks.install.detectron2_patches import Substitution
from benchmarks.install.environment import Environment
from benchmarks.install.errors import IncompleteError, InstallError

TOY_FILES = {
    "LICENSE": "the licence\n",
    "setup.py": "raise SystemExit('set-up code of the archive must not run')\n",
    "detectron2/__init__.py": '__version__ = "0.6"\n',
    "detectron2/layers/__init__.py": "",
    "detectron2/numbers.py": "import numpy as np\nKIND = np.int\nWIDE = np.int64\n",
    "detectron2/projects/__init__.py": "",
    "detectron2/model_zoo/configs/Base.yaml": "VERSION: 2\n",
    "projects/DeepLab/deeplab/__init__.py": "NAME = 'deeplab'\n",
    "tools/train_net.py": "print('left out')\n",
}
TOY_CHANGE = Substitution("detectron2/numbers.py", r"\bnp\.int\b", "int", 1)
FAKE_DETECTRON2 = {
    "detectron2/__init__.py": '__version__ = "9.9"\n',
    "detectron2/engine.py": "",
    "detectron2/projects/__init__.py": "",
    "detectron2/projects/deeplab.py": "",
    "detectron2-9.9.dist-info/METADATA": "Metadata-Version: 2.1\nName: detectron2\nVersion: 9.9\n",
    "detectron2-9.9.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: bdist_wheel (0.37)\n",
}


def write_sdist(path: Path, files: dict[str, str]) -> str:
    """Write a source archive and return its sha256."""
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"pb1-detectron2-0.6/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build_toy(folder: Path, *changes: Substitution) -> Path:
    sdist = folder / detectron2_wheel.SDIST_NAME
    sha256 = write_sdist(sdist, TOY_FILES)
    return detectron2_wheel.build_wheel(
        sdist, folder / "out" / detectron2_wheel.WHEEL_NAME, sha256=sha256, substitutions=changes or (TOY_CHANGE,)
    )


def one_line(error: pytest.ExceptionInfo[InstallError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


# ---- the wheel


def test_wheel_record_names_every_file_with_its_hash_and_size(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_toy(tmp_path)) as wheel:
        contents = {name: wheel.read(name) for name in wheel.namelist()}
    record = "detectron2-0.6.dist-info/RECORD"
    rows = [line.rsplit(",", 2) for line in contents[record].decode().splitlines()]
    assert sorted(row[0] for row in rows) == sorted(contents)
    for path, digest, size in rows:
        if path == record:
            assert (digest, size) == ("", "")
            continue
        algorithm, value = digest.split("=", 1)
        assert algorithm == "sha256"
        assert base64.urlsafe_b64decode(value + "=") == hashlib.sha256(contents[path]).digest()
        assert int(size) == len(contents[path])


def test_wheel_holds_the_package_its_projects_and_the_stand_ins(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_toy(tmp_path)) as wheel:
        names = set(wheel.namelist())
        numbers = wheel.read("detectron2/numbers.py").decode()
        metadata = email.parser.Parser().parsestr(wheel.read("detectron2-0.6.dist-info/METADATA").decode())
        licence = wheel.read("detectron2-0.6.dist-info/LICENSE").decode()
    assert {"detectron2/projects/deeplab/__init__.py", "detectron2/model_zoo/configs/Base.yaml"} <= names
    assert set(detectron2_patches.ADDED_FILES) <= names
    assert not any(name.startswith(("tools/", "projects/", "setup.py")) for name in names)
    assert numbers == detectron2_patches.NOTICE + "import numpy as np\nKIND = int\nWIDE = np.int64\n"
    assert licence == TOY_FILES["LICENSE"]
    assert (metadata["Name"], metadata["Version"]) == ("detectron2", "0.6")
    assert metadata.get_all("Requires-Dist") == list(detectron2_wheel.REQUIRES)


def test_wheel_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    first = build_toy(tmp_path).read_bytes()
    assert build_toy(tmp_path).read_bytes() == first


def test_pip_takes_the_wheel(tmp_path: Path) -> None:
    wheel = build_toy(tmp_path)
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, stdin=subprocess.DEVNULL)
    (found,) = importlib.metadata.distributions(path=[str(target)])
    assert (found.metadata["Name"], found.version) == ("detectron2", "0.6")
    assert (target / "detectron2" / "projects" / "deeplab" / "__init__.py").is_file()


@pytest.mark.parametrize("words", [["."], ["-e", "."]])
def test_the_project_itself_is_not_installed_and_pip_says_what_to_do(tmp_path: Path, words: list[str]) -> None:
    install = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--target", str(tmp_path / "to")]
    done = subprocess.run([*install, *words], cwd=project.CHECKOUT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and not (tmp_path / "to").exists()
    assert "`python3 -m benchmarks.install` there makes .venv" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_archive_with_another_hash_is_refused(tmp_path: Path) -> None:
    sdist = tmp_path / "archive.tar.gz"
    found = write_sdist(sdist, TOY_FILES)
    with pytest.raises(InstallError) as error:
        detectron2_wheel.build_wheel(sdist, tmp_path / "x.whl", sha256="0" * 64, substitutions=())
    assert one_line(error) == f"{sdist}: sha256 is {found}, expected {'0' * 64}"
    assert not (tmp_path / "x.whl").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Substitution("detectron2/numbers.py", "gone", "", 1), "detectron2/numbers.py: pattern 'gone' matches 0 times"),
        (Substitution("detectron2/numbers.py", "np", "", 1), "detectron2/numbers.py: pattern 'np' matches 2 times"),
        (Substitution("detectron2/gone.py", "x", "", 1), "detectron2/gone.py: not in the detectron2 archive"),
    ],
)
def test_substitution_that_does_not_match_is_refused(tmp_path: Path, change: Substitution, message: str) -> None:
    with pytest.raises(InstallError, match=re.escape(message)) as error:
        build_toy(tmp_path, TOY_CHANGE, change)
    one_line(error)
    assert not list(tmp_path.rglob("*.whl"))


def test_wheel_is_downloaded_once_and_a_broken_archive_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source.tar.gz"
    monkeypatch.setattr(detectron2_wheel, "SDIST_SHA256", write_sdist(source, TOY_FILES))
    monkeypatch.setattr(detectron2_patches, "SUBSTITUTIONS", (TOY_CHANGE,))
    calls: list[list[str]] = []

    def run_pip(arguments: list[str], extra: dict[str, str]) -> None:
        calls.append(arguments)
        assert Path(extra["PYTHONPATH"].split(":")[0], "setuptools", "build_meta.py").is_file()
        requirement = Path(arguments[arguments.index("--requirement") + 1]).read_text()
        assert requirement == f"pb1-detectron2==0.6 --hash=sha256:{detectron2_wheel.SDIST_SHA256}\n"
        target = Path(arguments[arguments.index("--dest") + 1]) / detectron2_wheel.SDIST_NAME
        target.write_bytes(source.read_bytes())

    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / detectron2_wheel.SDIST_NAME).write_bytes(b"half an archive")
    wheel = detectron2_wheel.ensure_wheel(cache, run_pip)
    assert zipfile.is_zipfile(wheel)
    assert detectron2_wheel.ensure_wheel(cache, run_pip) == wheel
    assert len(calls) == 1


# ---- the pinned versions


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_constraints_pin_every_requirement_once_within_its_range(python: str) -> None:
    target = {"python_version": python, "python_full_version": f"{python}.0"}
    lines = [Requirement(line) for line in project.read_constraints()]
    pins: dict[str, str] = {}
    for line in lines:
        (pin,) = line.specifier
        assert pin.operator == "==", line
        if line.marker is None or line.marker.evaluate(target):
            assert project.name_of(line.name) not in pins, line
            pins[project.name_of(line.name)] = pin.version
    pyproject = project.read_requirements(project.CHECKOUT / "pyproject.toml", with_tests=True)
    wanted = [pyproject.torch, *pyproject.usual, *pyproject.bare, *detectron2_wheel.REQUIRES]
    for requirement in map(Requirement, wanted):
        assert pins[project.name_of(requirement.name)] in requirement.specifier, requirement


def needed(requirements: Sequence[str]) -> set[str]:
    """The names of these packages, and of all that they need, as they are installed."""
    pending, seen = [project.name_of(name) for name in requirements], set[str]()
    while pending:
        name = pending.pop()
        if name in seen or re.match(r"(nvidia|cuda)-|triton", name):  # torch's own choice
            continue
        seen.add(name)
        for text in importlib.metadata.requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                pending.append(project.name_of(requirement.name))
    return seen


def test_constraints_cover_what_the_installed_packages_need() -> None:
    """Every package that a run needs is pinned, not only those that pyproject.toml names."""
    if Path(sys.prefix).resolve() != command.VENV.resolve():
        pytest.skip("another environment than set-up's own may hold versions with other needs")
    pins = {project.name_of(line) for line in project.read_constraints()}
    wanted = project.read_requirements(project.CHECKOUT / "pyproject.toml", with_tests=True)
    assert sorted(needed([wanted.torch, *wanted.usual]) - pins) == []


def test_requirements_are_sorted_by_how_they_are_installed() -> None:
    plain = project.read_requirements(project.CHECKOUT / "pyproject.toml", with_tests=False)
    tests = project.read_requirements(project.CHECKOUT / "pyproject.toml", with_tests=True)
    assert project.name_of(plain.torch) == "torch"
    assert [project.name_of(name) for name in plain.bare] == ["cityscapesscripts"]
    assert not {"torch", "detectron2", "cityscapesscripts", "pytest"} & {project.name_of(name) for name in plain.usual}
    assert "pytest" in tests.names
    assert set(plain.names) < set(tests.names)


def test_what_is_installed_beside_torch_asks_for_none() -> None:
    """Else two pips would write the same package at a time."""
    wanted = project.read_requirements(project.CHECKOUT / "pyproject.toml", with_tests=True)
    assert set(wanted.beside_torch) < set(wanted.usual)
    assert "torch" in needed(wanted.usual)  # of all of them some do
    assert "torch" not in needed(wanted.beside_torch)


@pytest.mark.parametrize("fails", ["", "torch>=2.11", "a"])
def test_torch_is_installed_alone_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    monkeypatch.setattr(command, "CACHE", tmp_path)
    monkeypatch.setattr(command, "keeps_detectron2", lambda environment: True)
    monkeypatch.setattr(command, "find_problem", lambda *_: "")
    both, calls = threading.Barrier(2), list[tuple[str, ...]]()

    def pip(self: Environment, arguments: Sequence[str], extra: dict[str, str] | None = None) -> None:
        calls.append(tuple(arguments[arguments.index("--constraint") + 2 :]))
        if len(calls) <= 2:
            both.wait(60)  # each waits for the other
            if fails in arguments:
                raise InstallError("no space")

    monkeypatch.setattr(Environment, "pip", pip)
    monkeypatch.setattr(Environment, "pip_version", lambda self: (24, 0))
    requirements = project.Requirements("torch>=2.11", ("a", "b", "effnet"), ("a", "b"), ("bare",))
    target = Environment(Path(sys.executable), tmp_path / "pip.log", print)
    with pytest.raises(InstallError, match="no space") if fails else nullcontext():
        command._fill(target, requirements, [])
    assert sorted(calls[:2]) == [("--no-deps", "torch>=2.11"), ("a", "b")]
    assert calls[2:] == ([] if fails else [("torch>=2.11", "a", "b", "effnet"), ("--no-deps", "bare")])


def test_pyproject_without_torch_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    install = "[tool.segshift.install]\nwithout-requirements = []\nafter-torch = []\n"
    path.write_text(f'[project]\ndependencies = ["detectron2"]\n{install}')
    with pytest.raises(InstallError, match=r"project\.dependencies lacks torch") as error:
        project.read_requirements(path, with_tests=False)
    one_line(error)


def test_foreign_environment_keeps_its_versions() -> None:
    pins = ["numpy==2.4.6", "torch==2.13.0", "optuna==5.0.0"]
    assert command.pins_beside(pins, {"numpy": "1.26.0", "torch": "2.11.0+cu130"}) == [
        "optuna==5.0.0",
        "torch==2.11.0+cu130",
    ]
    assert command.pins_beside(pins, {}) == pins


# ---- the environment


@pytest.fixture
def shadowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], Environment]:
    """This environment, seen by its subprocesses with other files in front."""

    def make(files: dict[str, str]) -> Environment:
        for name, text in files.items():
            path = tmp_path / "front" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "front"))
        return Environment(Path(sys.executable), tmp_path / "pip.log", print)

    return make


def test_working_detectron2_is_kept(
    shadowed: Callable[[dict[str, str]], Environment], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.keeps_detectron2(shadowed(FAKE_DETECTRON2))
    assert re.search(r"kept: detectron2 9\.9 in .*front", capsys.readouterr().out)


def test_wheel_of_an_older_recipe_is_replaced(
    shadowed: Callable[[dict[str, str]], Environment], capsys: pytest.CaptureFixture[str]
) -> None:
    old = "Wheel-Version: 1.0\nGenerator: segshift-detectron2 (0123456789abcdef)\n"
    assert not command.keeps_detectron2(shadowed({**FAKE_DETECTRON2, "detectron2-9.9.dist-info/WHEEL": old}))
    assert "recipe has changed" in capsys.readouterr().out
    current = f"Wheel-Version: 1.0\nGenerator: {detectron2_wheel.generator()}\n"
    assert command.keeps_detectron2(shadowed({**FAKE_DETECTRON2, "detectron2-9.9.dist-info/WHEEL": current}))


def test_broken_detectron2_is_replaced_and_its_error_told(
    shadowed: Callable[[dict[str, str]], Environment], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = {**FAKE_DETECTRON2, "detectron2/engine.py": "raise ImportError('undefined symbol: _ZN2at')\n"}
    assert not command.keeps_detectron2(shadowed(broken))
    assert "ImportError: undefined symbol: _ZN2at" in capsys.readouterr().out


def fake_python(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_broken_download_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "RETRY_PAUSE", 0.0)
    python = fake_python(
        tmp_path / "python",
        f'echo x >>"{tmp_path}/calls"; [ "$(wc -l <"{tmp_path}/calls")" -ge 3 ] && exit 0\n'
        'echo "  Downloading torch-2.13.0.whl (890.1 MB)"; echo "ERROR: Connection broken: IncompleteRead"; exit 1',
    )
    told: list[str] = []
    Environment(python, tmp_path / "pip.log", told.append).pip(["install", "torch"])
    assert (tmp_path / "calls").read_text() == "x\n" * 3
    assert told[:2] == [
        "    Downloading torch-2.13.0.whl (890.1 MB)",
        "    pip stopped: Connection broken: IncompleteRead; attempt 2 of 3",
    ]


@pytest.mark.parametrize(
    ("output", "calls"),
    [("ERROR: Connection broken: IncompleteRead", 3), ("ERROR: a and b conflict\nERROR: ResolutionImpossible: see", 1)],
)
def test_failure_gives_pips_reason_and_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, calls: int
) -> None:
    monkeypatch.setattr(environment, "RETRY_PAUSE", 0.0)
    python = fake_python(tmp_path / "python", f'echo x >>"{tmp_path}/calls"\nprintf "{output}\\n"; exit 1')
    log = tmp_path / "pip.log"
    with pytest.raises(InstallError) as error:
        Environment(python, log, print).pip(["install", "torch"])
    reason = output.splitlines()[0].removeprefix("ERROR: ")
    assert one_line(error) == f"pip install failed: {reason} (pip's log: {log})"
    assert (tmp_path / "calls").read_text().count("x") == calls
    assert output.splitlines()[-1] in log.read_text()


@pytest.mark.parametrize(("own", "writes", "left"), [(True, True, True), (True, False, False), (False, True, False)])
def test_modules_of_its_own_environment_are_compiled_when_they_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool, writes: bool, left: bool
) -> None:
    """Only there, and only where an import may write what it compiled."""
    monkeypatch.setattr(sys, "dont_write_bytecode", not writes)
    python = fake_python(tmp_path / "python", f'echo "$@" >>"{tmp_path}/calls"')
    target = Environment(python, tmp_path / "pip.log", print, own=own)
    target.pip(["install", "torch"])
    target.pip(["wheel", "torch"])
    install, wheel = (tmp_path / "calls").read_text().splitlines()
    assert ("--no-compile" in install) is left and "--no-compile" not in wheel


@pytest.mark.slow
def test_complete_environment_is_known_by_its_stamp(tmp_path: Path) -> None:
    wanted: dict[str, object] = {"inputs": "abc", "with_tests": False}
    requirements = project.read_requirements(project.CHECKOUT / "pyproject.toml", with_tests=False)
    stamp = tmp_path / "venv" / "stamp.json"
    python = fake_python(tmp_path / "venv" / "bin" / "python", f'cd "{tmp_path}" && exec "{sys.executable}" "$@"')
    assert not command.is_complete(stamp, wanted, requirements)  # no stamp
    stamp.write_text(json.dumps(wanted))
    command.CACHE.mkdir(parents=True, exist_ok=True)
    assert command.is_complete(stamp, wanted, requirements)
    assert not command.is_complete(stamp, {**wanted, "inputs": "other"}, requirements)
    assert not command.is_complete(stamp, {**wanted, "with_tests": True}, requirements)
    absent = project.Requirements("torch", ("a-package-that-is-absent",), (), ())
    assert not command.is_complete(stamp, wanted, absent)
    python.unlink()
    assert not command.is_complete(stamp, wanted, requirements)  # broken environment
    stamp.write_text("{half a li")
    assert not command.is_complete(stamp, wanted, requirements)


def test_folder_that_is_no_environment_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    venv = tmp_path / ".venv"
    venv.mkdir()
    (venv / "mine.txt").write_text("keep")
    monkeypatch.setattr(command, "VENV", venv)
    monkeypatch.setattr(command, "CACHE", tmp_path / "cache")
    assert command.main([]) == 1
    assert capsys.readouterr().err == (
        f"benchmarks.install: {venv}: exists and is no virtual environment, move it out of the way\n"
    )
    assert (venv / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("existed", [True, False])
def test_damaged_environment_is_made_anew_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], existed: bool
) -> None:
    monkeypatch.setattr(command, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(command, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(project, "CHECKOUT", tmp_path)
    pyproject = ROOT / "pyproject.toml"
    (tmp_path / "pyproject.toml").write_text(pyproject.read_text())
    if existed:
        command.VENV.mkdir()
    made: list[bool] = []

    def ensure_venv(folder: Path, pip: str, log: Path, say: Callable[[str], None], anew: bool = False) -> Environment:
        folder.mkdir(exist_ok=True)
        made.append(anew)
        return Environment(fake_python(tmp_path / "python", "exit 0"), log, say)

    def fill(target: Environment, requirements: project.Requirements, pins: list[str]) -> None:
        if not made[-1]:
            raise IncompleteError("fvcore is gone")

    monkeypatch.setattr(command, "ensure_venv", ensure_venv)
    monkeypatch.setattr(command, "_fill", fill)
    assert command.main([]) == (0 if existed else 1)
    assert made == ([False, True] if existed else [False])
    assert (command.VENV / command.STAMP).exists() is existed
    captured = capsys.readouterr()
    assert "fvcore is gone" in (captured.out if existed else captured.err)


def test_old_python_gets_one_line_and_exit_code_2() -> None:
    main = project.CHECKOUT / "benchmarks" / "install" / "__main__.py"
    ast.parse(main.read_text(), feature_version=(3, 4))  # an old interpreter can read it
    code = (
        "import runpy, sys; sys.version_info = (3, 9, 0, 'final', 0); "
        "runpy.run_module('benchmarks.install', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project.CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "benchmarks.install: needs Python 3.10 or newer, this is 3.9\n"


# ---- the detectron2 that is installed here


@pytest.fixture(scope="module")
def our_detectron2() -> Path:
    """Folder of the installed detectron2, if set-up built it."""
    spec = importlib.util.find_spec("detectron2._C")
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        pytest.skip("a detectron2 with its compiled extension is installed, not the pure-Python wheel of set-up")
    return Path(spec.origin).parent


def test_operators_that_were_left_out_say_so(our_detectron2: Path) -> None:
    import torch
    from detectron2 import _C
    from detectron2.layers import ROIAlignRotated

    assert not hasattr(_C, "__wrapped__")
    with pytest.raises(ImportError, match=r"_C\.box_iou_rotated needs detectron2's compiled extension"):
        _ = _C.box_iou_rotated
    with pytest.raises(ImportError, match=r"_C\.roi_align_rotated_forward needs detectron2's compiled extension"):
        ROIAlignRotated(2, 1.0, 0)(torch.zeros(1, 1, 4, 4), torch.zeros(1, 6))


def test_missing_torchvision_is_told_when_needed(our_detectron2: Path) -> None:
    if importlib.util.find_spec("torchvision"):
        pytest.skip("torchvision is installed")
    import torch
    from detectron2.layers import batched_nms

    with pytest.raises(ImportError, match=r"needs torchvision for torchvision\.ops\.boxes\.batched_nms"):
        batched_nms(torch.zeros(1, 4), torch.zeros(1), torch.zeros(1), 0.5)


def test_no_removed_numpy_name_is_left(our_detectron2: Path) -> None:
    files = sorted(our_detectron2.rglob("*.py"))
    assert len(files) > 150
    pattern = re.compile(r"\bnp\.(int|float|bool|object|str|float_|in1d|product|NaN|Inf)\b|Image\.LINEAR\b")
    left = [path for path in files for line in path.read_text().splitlines() if pattern.search(line)]
    assert left == []


def test_what_the_trainer_uses_works() -> None:
    """The pieces of detectron2 that today's numpy, Pillow and setuptools had broken."""
    import numpy as np
    from detectron2 import model_zoo
    from detectron2.data import transforms
    from detectron2.projects import deeplab

    assert model_zoo.get_config("Misc/semantic_R_50_FPN_1x.yaml").MODEL.META_ARCHITECTURE == "SemanticSegmentor"
    # In a process of its own: Python 3.10's setuptools, which it imports, wants one that has not looked for pip.
    code = "from detectron2.utils.collect_env import collect_env_info; print(collect_env_info())"
    assert b"detectron2" in subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    assert callable(deeplab.add_deeplab_config)
    ramp = np.tile(np.arange(8, dtype=np.uint8), (8, 1))
    moved = transforms.ExtentTransform((2, 0, 6, 8), (8, 4)).apply_segmentation(ramp)
    np.testing.assert_array_equal(moved, ramp[:, 2:6])


@pytest.mark.slow
def test_transformers_ignores_our_datasets_package() -> None:
    """Our top-level ``datasets`` has the name of another project's package, which transformers looks for."""
    code = "import datasets, transformers; from transformers import SegformerModel; print(datasets.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=project.CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(project.CHECKOUT)
