"""The copy of the code that jobs run, and what is known of its version: here, and in the copy."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.core.checkout import PACKAGES, ROOT
from benchmarks.state import provenance as environment
from benchmarks.state.provenance import code_state, git_state
from results.records.record import write_text
from slurm.base.errors import LauncherError
from slurm.jobs import snapshot as module
from slurm.jobs.snapshot import STATE, snapshot

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose git has no settings of its own."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "someone")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "someone@example.org")


@pytest.fixture
def checkout(tmp_path: Path, user: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Our packages in a repository of their own, committed; it is what `git_state` looks at."""
    root = tmp_path / "checkout"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / ".gitignore").write_text("__pycache__/\n*.secret\nruns/\n")
    (root / "README.md").write_text("not code\n")
    if shutil.which("git"):
        git(root, "init", "-q")
        git(root, "add", ".")
        git(root, "commit", "-q", "-m", "first")
    monkeypatch.setattr(environment, "ROOT", root)
    return root


@pytest.fixture
def small(tmp_path: Path, user: None) -> Path:
    """Two files of code, and no repository."""
    root = tmp_path / "small"
    (root / "a").mkdir(parents=True)
    (root / "b").mkdir()
    (root / "a" / "x.py").write_text("X = 1\n")
    (root / "b" / "y.yaml").write_text("y: 1\n")
    return root


def repository(root: Path) -> None:
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")


@needs_git
def test_files_that_are_code_are_copied_and_later_edits_change_nothing(small: Path, tmp_path: Path) -> None:
    repository(small)
    (small / ".gitignore").write_text("*.secret\n__pycache__/\n")
    (small / "a" / "x.py").write_text("X = 2\n")  # not committed
    (small / "a" / "new.py").write_text("NEW = 1\n")  # not tracked
    (small / "a" / "key.secret").write_text("ignored")
    (small / "a" / "__pycache__").mkdir()
    (small / "a" / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"0")
    (small / "notes.py").write_text("not in a package\n")
    (small / "b" / "nëw.yml").write_text("{}")
    made = snapshot(small, ("a", "b"), tmp_path / "code", {"commit": "c"})
    expected = {
        "a/x.py": b"X = 2\n", "a/new.py": b"NEW = 1\n", "b/nëw.yml": b"{}", "b/y.yaml": b"y: 1\n",
        STATE: b'{\n "commit": "c"\n}\n',
    }  # fmt: skip
    assert content(made) == expected
    (small / "a" / "x.py").write_text("X = 3\n")
    (small / "a" / "new.py").unlink()
    assert content(made) == expected
    again = snapshot(small, ("a", "b"), tmp_path / "code", {"commit": "c"})
    assert again != made and content(again)["a/x.py"] == b"X = 3\n" and "a/new.py" not in content(again)
    assert content(made) == expected


def test_without_git_the_kinds_of_files_that_code_has(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small / "a" / "__pycache__").mkdir()
    (small / "a" / "__pycache__" / "x.py").write_text("0")
    (small / "a" / "weights.pth").write_bytes(b"0")
    expected = {"a/x.py", "b/y.yaml", STATE}
    outside = snapshot(small, ("a", "b"), tmp_path / "code", {})  # a folder that no repository has
    assert set(content(outside)) == expected
    if shutil.which("git"):
        repository(small)
        (small / "a" / "weights.pth").unlink()
        git(small, "rm", "-q", "--cached", "a/weights.pth")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert snapshot(small, ("a", "b"), tmp_path / "code", {}) == outside


@needs_git
def test_the_state_and_each_file_decide_the_folder(small: Path, tmp_path: Path) -> None:
    repository(small)
    folder = tmp_path / "code"
    first = snapshot(small, ("a", "b"), folder, {"commit": "1"})
    inode = (first / "a" / "x.py").stat().st_ino
    assert snapshot(small, ("a", "b"), folder, {"commit": "1"}) == first
    assert (first / "a" / "x.py").stat().st_ino == inode and len(list(folder.iterdir())) == 1  # no second copy
    assert snapshot(small, ("a", "b"), folder, {"commit": "2"}) != first
    (small / "a" / "x.py").rename(small / "a" / "z.py")
    assert snapshot(small, ("a", "b"), folder, {"commit": "1"}) != first
    (small / "a" / "z.py").rename(small / "a" / "x.py")
    assert snapshot(small, ("a", "b"), folder, {"commit": "1"}) == first
    assert len(list(folder.iterdir())) == 3 and first.stat().st_mode & 0o777 == 0o700  # jobs are this user's, too


def test_several_commands_at_once(small: Path, tmp_path: Path) -> None:
    for number in range(200):
        (small / "a" / f"m{number}.py").write_text(f"N = {number}\n" * 50)
    go = tmp_path / "go"
    script = (
        "import sys, time; from pathlib import Path; from slurm.jobs.snapshot import snapshot\n"
        f"go = Path({str(go)!r}); print('ready', flush=True)\n"
        "while not go.exists(): time.sleep(0.001)\n"
        f"print(snapshot(Path({str(small)!r}), ('a', 'b'), Path({str(tmp_path / 'code')!r}), {{'commit': None}}))\n"
    )
    commands = [
        subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for command in commands:
        assert command.stdout and command.stdout.readline() == "ready\n"
    go.touch()
    made = {command.communicate(timeout=60)[0].strip() for command in commands}
    assert [command.returncode for command in commands] == [0, 0, 0]
    (only,) = made
    assert [str(path) for path in (tmp_path / "code").iterdir()] == [only]
    assert len(content(Path(only))) == 203


def before_it_is_written(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Something else happens between reading the checkout and writing the copy."""
    write = module._write

    def late(files: Any, made: Path) -> None:
        monkeypatch.setattr(module, "_write", write)
        change()
        write(files, made)

    monkeypatch.setattr(module, "_write", late)


def test_one_that_was_quicker_with_the_same_is_used(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first copies, a second does all."""
    made = list[Path]()
    before_it_is_written(monkeypatch, lambda: made.append(snapshot(small, ("a", "b"), tmp_path / "code", {})))
    assert snapshot(small, ("a", "b"), tmp_path / "code", {}) == made[0]
    assert list((tmp_path / "code").iterdir()) == made and "a/x.py" in content(made[0])


# Faults


def test_a_folder_that_cannot_be_written_is_one_line_and_leaves_nothing(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LauncherError, match=r"file.*: the code cannot be copied there \(\w.*\)$") as error:
        snapshot(small, ("a", "b"), tmp_path / "file" / "code", {})
    assert "\n" not in str(error.value)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(LauncherError, match=r"cannot be copied there \(No space left on device\)$"):
        snapshot(small, ("a", "b"), tmp_path / "code", {})
    assert list((tmp_path / "code").iterdir()) == []


def test_an_edit_while_it_is_copied_does_not_get_into_a_folder_of_another_name(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise every later submission of the code as it was runs the edit."""
    before_it_is_written(monkeypatch, lambda: (small / "a" / "x.py").write_text("X = 'edited'\n"))
    snapshot(small, ("a", "b"), tmp_path / "code", {})
    (small / "a" / "x.py").write_text("X = 1\n")
    assert content(snapshot(small, ("a", "b"), tmp_path / "code", {}))["a/x.py"] == b"X = 1\n"


def test_a_file_that_goes_away_meanwhile_is_one_line(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor's temporary file, listed and then gone; or one that this user may not read."""
    files = module._files
    monkeypatch.setattr(module, "_files", lambda *of: [*files(*of), "a/.x.py.swp"])
    with pytest.raises(LauncherError, match=r"\.x\.py\.swp"):
        snapshot(small, ("a", "b"), tmp_path / "code", {})


def test_a_snapshot_that_lost_a_file_is_made_again(small: Path, tmp_path: Path) -> None:
    """File systems for scratch data remove what nobody has read for weeks, file by file."""
    made = snapshot(small, ("a", "b"), tmp_path / "code", {})
    (made / "a" / "x.py").unlink()
    assert "a/x.py" in content(snapshot(small, ("a", "b"), tmp_path / "code", {}))


@needs_git
@pytest.mark.parametrize("path", ["datasets/cityscapes/leftImg8bit/a.png", "results/mine/dacs/model_final.pth"])
def test_data_and_runs_below_a_package_are_not_code(checkout: Path, tmp_path: Path, path: str) -> None:
    """detectron2 looks for data in ./datasets, and --output results/mine is near at hand: gigabytes to read and copy,
    earlier snapshots among them.
    """
    (checkout / path).parent.mkdir(parents=True)
    (checkout / path).write_bytes(b"0" * 100)
    assert path not in content(snapshot(checkout, PACKAGES, tmp_path / "code", {}))


# What is nobody else's


SECRETS = ("a/.env", "a/id_rsa", "a/key.pem", "b/credentials.json", "b/token.txt", "a/environment")


@needs_git
def test_new_files_that_are_neither_python_nor_yaml_are_left_out_and_said(
    small: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (small / "a" / "table.csv").write_text("tracked\n")
    repository(small)
    snapshot(small, ("a", "b"), tmp_path / "code", {})
    assert not caplog.records
    for name in SECRETS:
        (small / name).write_text("SECRET\n")
    made = snapshot(small, ("a", "b"), tmp_path / "code", {})
    assert set(content(made)) == {"a/x.py", "a/table.csv", "b/y.yaml", STATE}
    (record,) = caplog.records
    assert "the copy of the code leaves out a/.env, a/environment, a/id_rsa and 3 more" in record.getMessage()


@pytest.mark.parametrize("with_git", [pytest.param(True, marks=needs_git), False])
def test_a_link_that_leads_out_is_left_out_and_said(
    with_git: bool, small: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "secret.py").write_text("SECRET = 1\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "in.py").write_text("SECRET = 1\n")
    (small / ".env").write_text("SECRET=1\n")
    (small / "a" / "tracked.py").symlink_to(tmp_path / "secret.py")
    (small / "a" / "beside.py").symlink_to("../.env")  # in the checkout, but no code
    (small / "a" / "within.py").symlink_to("x.py")
    if with_git:
        git(small, "init", "-q")
        git(small, "add", "a", "b")
        git(small, "commit", "-q", "-m", "first")
    (small / "a" / "new.py").symlink_to(tmp_path / "secret.py")
    (small / "b" / "folder").symlink_to(tmp_path / "folder")
    made = snapshot(small, ("a", "b"), tmp_path / "code", {})
    assert set(content(made)) == {"a/x.py", "a/within.py", "b/y.yaml", STATE}
    assert not any(b"SECRET" in each for each in content(made).values())
    assert all(name in caplog.text for name in ("a/beside.py", "a/new.py", "a/tracked.py"))


@needs_git
def test_the_diff_of_a_run_has_new_code_and_no_other_new_file(checkout: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for name in ("methods/.env", "methods/key.pem", "results/[a].txt"):
        (checkout / name).write_text("SECRET=1\n")
    (checkout / "slurm" / "link.py").symlink_to(checkout / "methods" / ".env")
    assert code_state()[0]["dirty"] is False and code_state()[1] == ""
    assert "methods/.env, methods/key.pem, results/[a].txt and 1 more" in caplog.text
    for name in ("methods/ne[w].py", "results/:(top)x.yml", "slurm/new file.yaml"):
        (checkout / name).write_text("NEW: 1\n")
    state, diff = code_state()
    assert state["dirty"] is True and "SECRET" not in diff
    assert diff.count("new file mode") == diff.count("+NEW: 1") == 3


def test_the_diff_of_a_run_is_for_its_user_alone(tmp_path: Path) -> None:
    write_text(tmp_path / "code.diff", "a\n", mode=0o600)
    write_text(tmp_path / "record.json", "a\n")
    assert (tmp_path / "code.diff").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "record.json").stat().st_mode & 0o400


# A copy that is there already


@pytest.mark.parametrize("change", ["emptied", "same size", "link", "folder", "link above", "the whole a link"])
def test_a_copy_whose_files_are_others_is_put_right(change: str, small: Path, tmp_path: Path) -> None:
    """Emptied by a full disk, edited, or from a folder that somebody else made: its name says what it must hold."""
    made = snapshot(small, ("a", "b"), tmp_path / "code", {})
    expected, file = content(made), made / "a" / "x.py"
    other = tmp_path / "other"
    other.mkdir()
    (other / "x.py").write_text("X = 6\n")
    if change == "emptied":
        file.write_text("")
    elif change == "same size":
        file.write_text("X = 2\n")
    elif change == "the whole a link":
        shutil.move(made, other / "made")
        (other / "made" / "a" / "x.py").write_text("X = 2\n")
        made.symlink_to(other / "made")
    else:
        file.unlink()
        if change == "link":
            file.symlink_to(other / "x.py")
        elif change == "folder":
            (file / "x").mkdir(parents=True)
        else:
            shutil.rmtree(made / "a")
            (made / "a").symlink_to(other)
    assert snapshot(small, ("a", "b"), tmp_path / "code", {}) == made
    assert content(made) == expected and not any(path.is_symlink() for path in [made, *made.rglob("*")])
    assert (other / "x.py").read_text() == "X = 6\n"  # nothing was written through a link
    if change == "the whole a link":
        assert (other / "made" / "a" / "x.py").read_text() == "X = 2\n"


def test_what_else_is_in_a_copy_goes(small: Path, tmp_path: Path) -> None:
    """Jobs import from it before all else: a torch.py there would be their torch, and so would a compiled one."""
    made = snapshot(small, ("a", "b"), tmp_path / "code", {})
    expected = content(made)
    (made / "torch.py").write_text("planted\n")
    (made / "a" / "__pycache__").mkdir()
    (made / "a" / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"planted")
    (made / "c" / "d").mkdir(parents=True)
    (made / "b" / "link").symlink_to(tmp_path)
    made.chmod(0o755)
    inode = (made / "a" / "x.py").stat().st_ino
    assert snapshot(small, ("a", "b"), tmp_path / "code", {}) == made
    assert content(made) == expected and sorted(path.name for path in made.iterdir()) == ["a", "b", STATE]
    assert (made / "a" / "x.py").stat().st_ino == inode  # what was right is left as it is
    assert made.stat().st_mode & 0o777 == 0o700 and small.is_dir()


# Code that runs from a snapshot


@pytest.mark.slow
@needs_git
def test_code_run_from_a_snapshot_is_its_own_and_knows_its_version(checkout: Path, tmp_path: Path) -> None:
    (checkout / "methods" / "added.py").write_text("ADDED = 1\n")
    state, (_, diff) = git_state(), code_state()
    made = snapshot(checkout, PACKAGES, tmp_path / "code", state)
    (checkout / "methods" / "added.py").write_text("ADDED = 2\n")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "second")
    script = (
        "from benchmarks.core.checkout import ROOT, check_checkout; check_checkout()\n"
        "from benchmarks.state.provenance import code_state, git_state\n"
        "import methods.added, slurm.jobs.job as job\n"
        "print([str(ROOT), methods.added.__file__, job.__file__, methods.added.ADDED, git_state(), code_state()])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=made, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    root, added, job, number, known, (short, whole) = ast.literal_eval(done.stdout)
    assert root == str(made) and {Path(added).parents[1], Path(job).parents[2]} == {made} and number == 1
    assert known == state == json.loads((made / STATE).read_text()) and whole == diff
    assert short["commit"] == state["commit"] == git(checkout, "rev-parse", "HEAD~1").strip()
    assert short["dirty"] is True and "+ADDED = 1" in whole


@needs_git
def test_the_state_of_a_clean_and_of_a_dirty_tree(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD").strip()
    assert code_state() == ({"commit": commit, "dirty": False, "diff": None}, "")
    (checkout / "README.md").write_text("changed, and not code\n")
    (checkout / "methods" / "key.secret").write_text("ignored\n")
    assert code_state() == ({"commit": commit, "dirty": False, "diff": None}, "")
    (checkout / "slurm" / "new.py").write_text("NEW = 1\n")
    (checkout / "results" / "records" / "record.py").unlink()
    (checkout / "slurm" / "base" / "errors.py").write_text("changed\n")
    git(checkout, "add", "slurm/base/errors.py")  # in the index, not committed
    status = git(checkout, "status", "--porcelain")
    index = (checkout / ".git" / "index").read_bytes()
    state, diff = code_state()
    assert (checkout / ".git" / "index").read_bytes() == index
    assert git(checkout, "status", "--porcelain") == status
    assert state["dirty"] is True and state["diff"] == hashlib.sha256(diff.encode()).hexdigest()[:16]
    changed = [line.split(" b/")[1] for line in diff.splitlines() if line.startswith("diff --git")]
    assert changed == ["results/records/record.py", "slurm/base/errors.py", "slurm/new.py"]
    assert "+NEW = 1" in diff and "README" not in diff
    before = code_state()[0]["diff"]
    (checkout / "slurm" / "new.py").write_text("NEW = 2\n")
    assert code_state()[0]["diff"] != before  # runs of two codes can be told


@needs_git
def test_the_users_own_way_of_showing_diffs_changes_nothing(checkout: Path) -> None:
    (checkout / "slurm" / "new.py").write_text("NEW = 1\n")
    _, plain = code_state()
    git(checkout, "config", "color.ui", "always")
    git(checkout, "config", "diff.external", "false")
    assert code_state()[1] == plain


@needs_git
def test_a_change_in_the_second_of_the_commit_is_seen(checkout: Path) -> None:
    """Of the same size: only the content tells, and git reads it where the file is not older than the index."""
    path, index, now = checkout / "slurm" / "new.py", checkout / ".git" / "index", time.time() - 10
    path.write_text("NEW = 1\n")
    os.utime(path, (now, now))
    git(checkout, "config", "core.trustctime", "false")
    git(checkout, "add", "slurm/new.py")
    git(checkout, "commit", "-q", "-m", "new")
    path.write_text("NEW = 2\n")
    for each in (path, index):
        os.utime(each, (now, now))
    assert "+NEW = 2" in code_state()[1]


@needs_git
@pytest.mark.parametrize("end", ["", "\n\n\n"])
def test_the_diff_makes_the_code_of_the_commit_that_of_the_run(checkout: Path, tmp_path: Path, end: str) -> None:
    (checkout / "slurm" / "lines.py").write_text(f"A = 1\nB = 1\n{end}")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "second")
    (checkout / "slurm" / "lines.py").write_text(f"A = 1\nB = 2\n{end}")
    state, diff = code_state()
    git(tmp_path, "clone", "-q", str(checkout), "clone")
    assert git(tmp_path / "clone", "rev-parse", "HEAD").strip() == state["commit"]
    (tmp_path / "code.diff").write_text(diff)
    git(tmp_path / "clone", "apply", str(tmp_path / "code.diff"))
    for name in PACKAGES:
        assert content(tmp_path / "clone" / name) == content(checkout / name)


def test_nothing_is_known_without_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: None) -> None:
    nothing = {"commit": None, "dirty": None, "diff": None}
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    assert git_state() == nothing and code_state() == (nothing, "")
    monkeypatch.setattr(environment, "ROOT", ROOT)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state() == nothing


@needs_git
def test_a_diff_too_long_is_cut_and_says_so(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_LONGEST_DIFF", 100)
    (checkout / "slurm" / "new.py").write_text("NEW = 1\n" * 100)
    diff = git_state()["diff"]
    assert len(diff) < 150 and diff.splitlines()[-1].startswith("[cut: 1")
