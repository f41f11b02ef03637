"""Build a pure-Python wheel of detectron2 0.6 from its source archive on the package index.

detectron2 publishes no wheel that fits current Python and torch, and its own set-up compiles C++ and CUDA code.
segshift uses none of that code, so this module turns the archive's Python files into a proper wheel: pip installs it,
lists it and checks its requirements like any other. The archive's Python files equal those of detectron2's v0.6 tag.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from . import detectron2_patches
from .errors import InstallError

SDIST_REQUIREMENT = "pb1-detectron2==0.6"
SDIST_NAME = "pb1-detectron2-0.6.tar.gz"
SDIST_SHA256 = "5d2e9e51e523ec72f6a31cca04b0a515492e9514b773a3d134cedc0677170b29"
VERSION = "0.6"
WHEEL_NAME = f"detectron2-{VERSION}-py3-none-any.whl"
DIST_INFO = f"detectron2-{VERSION}.dist-info"

# pip asks a source archive for its metadata even when it only downloads it, and the archive's own set-up script would
# need torch to answer. This answers in its place, so that nothing of the archive runs.
_DOWNLOAD = ("download", "--no-deps", "--no-build-isolation", "--use-pep517", "--no-binary", ":all:")
_METADATA_BACKEND = """\
import os, sys

__legacy__ = sys.modules[__name__]


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    name = "pb1_detectron2-0.6.dist-info"
    os.makedirs(os.path.join(metadata_directory, name))
    with open(os.path.join(metadata_directory, name, "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: pb1-detectron2\\nVersion: 0.6\\n")
    return name
"""

# The projects that upstream's wheel ships inside the package (PROJECTS in its setup.py).
PROJECTS = {
    "projects/DeepLab/deeplab/": "detectron2/projects/deeplab/",
    "projects/Panoptic-DeepLab/panoptic_deeplab/": "detectron2/projects/panoptic_deeplab/",
    "projects/PointRend/point_rend/": "detectron2/projects/point_rend/",
}

# install_requires of upstream's setup.py, without its pin of a 2021 code formatter and its backport for Python 3.6.
REQUIRES = (
    "Pillow>=7.1",
    "matplotlib",
    "pycocotools>=2.0.2",
    "termcolor>=1.1",
    "yacs>=0.1.8",
    "tabulate",
    "cloudpickle",
    "tqdm>4.29.0",
    "tensorboard",
    "fvcore>=0.1.5,<0.1.6",
    "iopath>=0.1.7,<0.1.10",
    "future",
    "pydot",
    "omegaconf>=2.1",
    "hydra-core>=1.1",
)


def recipe_hash() -> str:
    """Hash of what decides the wheel's contents: a wheel of another recipe is built again."""
    digest = hashlib.sha256(SDIST_SHA256.encode())
    for source in (Path(__file__), Path(detectron2_patches.__file__)):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def generator() -> str:
    """The ``Generator`` line of the wheel: tells an installed detectron2 of ours from anyone else's."""
    return f"segshift-detectron2 ({recipe_hash()})"


def ensure_wheel(cache: Path, run_pip: Callable[[list[str], dict[str, str]], None]) -> Path:
    """Return the wheel in ``cache``, made there if it is absent or of another recipe.

    Args:
        cache: folder for the archive and the wheel, made if absent.
        run_pip: runs pip with these arguments and these additions to the environment variables, and raises on failure.

    Raises:
        InstallError: the archive is not the expected one.
    """
    wheel = cache / recipe_hash() / WHEEL_NAME
    if wheel.is_file():
        return wheel
    sdist = cache / SDIST_NAME
    if not (sdist.is_file() and _sha256(sdist) == SDIST_SHA256):
        sdist.unlink(missing_ok=True)
        _download(cache, run_pip)
    return build_wheel(sdist, wheel, sha256=SDIST_SHA256, substitutions=detectron2_patches.SUBSTITUTIONS)


def _download(cache: Path, run_pip: Callable[[list[str], dict[str, str]], None]) -> None:
    """Have pip put the archive into ``cache``: pip knows the user's index, proxy and certificates."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        backend = Path(folder, "setuptools", "build_meta.py")
        backend.parent.mkdir()
        backend.with_name("__init__.py").touch()
        backend.write_text(_METADATA_BACKEND, encoding="utf-8")
        requirement = Path(folder, "requirement.txt")
        requirement.write_text(f"{SDIST_REQUIREMENT} --hash=sha256:{SDIST_SHA256}\n", encoding="utf-8")
        search_path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        run_pip(
            [*_DOWNLOAD, "--require-hashes", "--dest", str(cache), "--requirement", str(requirement)],
            {"PYTHONPATH": search_path},
        )


def build_wheel(
    sdist: Path, wheel: Path, *, sha256: str, substitutions: Iterable[detectron2_patches.Substitution]
) -> Path:
    """Write ``wheel`` (its name must be ``WHEEL_NAME``) from the source archive ``sdist`` and return it.

    The same archive gives the same bytes.

    Args:
        sdist: the archive, a gzipped tar file with one folder at its top.
        wheel: where to write; folders are made, and the file appears only when it is whole.
        sha256: what the archive's hash must be.
        substitutions: the changes to its Python files.

    Raises:
        InstallError: the archive is missing, has another hash, or a substitution does not match.
    """
    if not sdist.is_file():
        raise InstallError(f"{sdist}: no such file, expected the source archive of detectron2 {VERSION}")
    found = _sha256(sdist)
    if found != sha256:
        raise InstallError(f"{sdist}: sha256 is {found}, expected {sha256}")
    files = _package_files(sdist)
    license_text = files.pop("LICENSE", b"")
    sources = {path: data.decode("utf-8") for path, data in files.items() if path.endswith(".py")}
    changed = detectron2_patches.apply(sources, substitutions)
    changed.update(detectron2_patches.ADDED_FILES)
    files.update({path: text.encode("utf-8") for path, text in changed.items()})
    files[f"{DIST_INFO}/LICENSE"] = license_text
    files[f"{DIST_INFO}/METADATA"] = _metadata().encode("utf-8")
    files[f"{DIST_INFO}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: {generator()}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    ).encode()
    files[f"{DIST_INFO}/top_level.txt"] = b"detectron2\n"
    _write_wheel(files, wheel)
    return wheel


def _package_files(sdist: Path) -> dict[str, bytes]:
    """The archive's package files under the paths they have in the wheel, and its LICENSE."""
    files: dict[str, bytes] = {}
    with tarfile.open(sdist, "r:gz") as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if stream is None:  # a folder
                continue
            path = member.name.split("/", 1)[-1]
            for project, package in PROJECTS.items():
                if path.startswith(project):
                    path = package + path[len(project) :]
            if path.startswith("detectron2/") or path == "LICENSE":
                files[path] = stream.read()
    return files


def _metadata() -> str:
    lines = [
        "Metadata-Version: 2.1",
        "Name: detectron2",
        f"Version: {VERSION}",
        "Summary: Detectron2 is FAIR's platform for object detection and segmentation (pure-Python build of segshift)",
        "Home-page: https://github.com/facebookresearch/detectron2",
        "Author: FAIR",
        "License: Apache-2.0",
        "Requires-Python: >=3.6",
        *(f"Requires-Dist: {requirement}" for requirement in REQUIRES),
    ]
    description = (
        "The Python files of detectron2 0.6, changed by segshift's set-up in imports and removed names only\n"
        "(benchmarks/install/detectron2_patches.py). The compiled extension is left out: its operators raise\n"
        "ImportError when used.\n"
    )
    return "\n".join(lines) + "\n\n" + description


def _write_wheel(files: dict[str, bytes], wheel: Path) -> None:
    record = f"{DIST_INFO}/RECORD"
    rows = [f"{path},sha256={_record_hash(data)},{len(data)}" for path, data in sorted(files.items())]
    files = {**files, record: ("\n".join([*rows, f"{record},,"]) + "\n").encode("utf-8")}
    wheel.parent.mkdir(parents=True, exist_ok=True)
    partial = wheel.with_suffix(".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        # The dist-info folder goes last, as the wheel format recommends.
        for path in sorted(files, key=lambda name: (name.startswith(DIST_INFO), name)):
            entry = zipfile.ZipInfo(path, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[path])
    partial.replace(wheel)


def _record_hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
