"""Data sets of a user's own that are registered with detectron2."""

from __future__ import annotations

from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from own_files import Own

from benchmarks.data.data_sets import check_module
from benchmarks.data.from_config import data_root, validation_set
from benchmarks.trained.opened_run import open_run
from benchmarks.trained.reevaluation import _images
from datasets.base.errors import DataError


@pytest.fixture
def registered(tmp_path: Path) -> Own:
    """The same files, registered by a module beside the protocol's file, under names of this test."""
    own = Own(tmp_path / "mine")
    own.data["MODULE"] = "mine_registers.py"
    tag = own.folder.parent.name
    (own.folder / "mine_registers.py").write_text(
        "from pathlib import Path\n"
        "from detectron2.data import DatasetCatalog\n"
        "HERE = Path(__file__).parent\n"
        "def items():\n"
        "    return [{'file_name': str(p), 'image_id': i, 'sem_seg_file_name': str(p).replace('_rgb', '_label')}\n"
        "            for i, p in enumerate(sorted(HERE.glob('camera/*_rgb.png')))]\n"
        "def fails():\n"
        "    raise RuntimeError('no\\nnetwork')\n"
        "def leaves():\n"
        "    raise SystemExit(0)\n"
        f"DatasetCatalog.register('{tag}_items', items)\n"
        f"DatasetCatalog.register('{tag}_empty', lambda: [])\n"
        f"DatasetCatalog.register('{tag}_fails', fails)\n"
        f"DatasetCatalog.register('{tag}_leaves', leaves)\n"
        f"DatasetCatalog.register('{tag}_plain', lambda: [{{'file_name': 'a.png'}}])\n"
        f"DatasetCatalog.register('{tag}_wrong', lambda: [7])\n"
    )
    for role in ("SOURCE", "TARGET", "VAL"):
        own.data[role] = {"LAYOUT": "registered", "NAME": f"{tag}_items"}
    return own


def test_registered_data_sets_are_imported_once_and_read(registered: Own) -> None:
    registered.check()
    registered.check()  # a second import would register the same names again
    cfg = registered.resolve()
    val = validation_set(cfg, data_root(cfg))
    assert [val[i]["label"].unique().tolist() for i in range(3)] == [[0], [1], [2]]
    assert [val[i]["image_id"] for i in range(3)] == ["0", "1", "2"]


def test_metadata_of_registered_data_sets_are_heeded(registered: Own) -> None:
    registered.check()
    metadata = MetadataCatalog.get(registered.data["VAL"]["NAME"])
    metadata.ignore_label = 2
    cfg = registered.resolve()
    assert validation_set(cfg, data_root(cfg))[2]["label"].unique().tolist() == [255]
    metadata.stuff_classes = ["ground", "sky", "house"]
    assert f"the classes of data set {registered.data['SOURCE']['NAME']!r} are ground, sky, house" in registered.line()
    for role in ("SOURCE", "VAL"):
        registered.data[role]["IDS"] = {0: "ground", 1: "sky", 2: "house"}
    cfg = registered.resolve()
    val = validation_set(cfg, data_root(cfg))
    assert [val[i]["label"].unique().tolist() for i in range(3)] == [[0], [2], [1]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("itmes", "DATA.SOURCE.NAME: unknown registered data set '{tag}_itmes': did you mean '{tag}_items'?"),
        ("empty", "DATA.SOURCE.NAME: data set '{tag}_empty' has no images"),
        ("fails", "DATA.SOURCE.NAME: reading the data set '{tag}_fails' failed (RuntimeError: no)"),
        ("leaves", "DATA.SOURCE.NAME: reading the data set '{tag}_leaves' failed (SystemExit: 0)"),
        ("plain", "a.png: has no 'sem_seg_file_name', expected the path of a file"),
        ("wrong", "DATA.SOURCE.NAME: item 0 of '{tag}_wrong': has no 'file_name', expected the path of a file"),
    ],
)
def test_a_registered_data_set_that_cannot_be_used_is_named(registered: Own, name: str, expected: str) -> None:
    tag = registered.folder.parent.name
    registered.data["SOURCE"]["NAME"] = f"{tag}_{name}"
    assert expected.format(tag=tag) in registered.line()


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("none.py", "none.py: no such file, expected Python code that registers data sets"),
        ("no_such_module", "DATA.MODULE no_such_module: cannot be imported (ModuleNotFoundError: "),
        ("broken.py", "DATA.MODULE broken.py: cannot be imported (ZeroDivisionError: division by zero)"),
        ("leaves.py", "DATA.MODULE leaves.py: cannot be imported (SystemExit: no data here)"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(registered: Own, module: str, expected: str) -> None:
    (registered.folder / "broken.py").write_text("1 / 0")
    (registered.folder / "leaves.py").write_text("raise SystemExit('no data here')")
    registered.data["MODULE"] = module
    for _ in range(2):
        assert expected in registered.line()


def test_a_module_is_imported_by_its_name_too(registered: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(registered.folder)
    tag = registered.folder.parent.name
    code = (registered.folder / "mine_registers.py").read_text()
    (registered.folder / f"registers_{tag}.py").write_text(code)
    registered.data["MODULE"] = f"registers_{tag}"
    registered.check()
    assert f"{tag}_items" in DatasetCatalog


# Of runs that somebody else may have made


@pytest.fixture
def received(registered: Own) -> tuple[Path, Path]:
    """A run folder whose config names code in it; and the file that this code makes."""
    run, marker = registered.folder.parent / "run", registered.folder.parent / "ran"
    run.mkdir()
    code = registered.folder / "mine_registers.py"
    code.write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\n{code.read_text()}")
    (run / "config.yaml").write_text(registered.resolve().dump())
    return run, marker


def test_the_module_of_a_stored_config_is_imported_only_where_it_is_named(
    received: tuple[Path, Path], registered: Own
) -> None:
    run, marker = received
    code = registered.folder / "mine_registers.py"
    for named in ([], [str(registered.folder / "other.py")], ["mine_registers.py"]):  # the last: below this folder
        cfg = open_run(str(run), run, named).cfg
        with pytest.raises(DataError) as error:
            validation_set(cfg, data_root(cfg))
        line = str(error.value)
        assert f"{run / 'config.yaml'}: DATA.MODULE is {code}" in line and f"--module {code}" in line
        assert "\n" not in line and not marker.exists()
    cfg = open_run(str(run), run, [str(code)]).cfg
    assert len(validation_set(cfg, data_root(cfg))) == 3 and marker.exists()


def test_naming_the_protocol_is_naming_its_module(received: tuple[Path, Path], registered: Own) -> None:
    run, marker = received
    trained = open_run(str(run), run)
    with pytest.raises(DataError, match="code that runs when its data sets are read"):
        check_module(trained.cfg)
    assert not marker.exists()
    images = _images(trained, str(registered.folder / "mine.yaml"))
    assert len(validation_set(images, data_root(images))) == 3 and marker.exists()


def test_a_module_that_can_be_imported_by_name_is_withheld_too(received: tuple[Path, Path], registered: Own) -> None:
    run, _ = received
    registered.data["MODULE"] = "json.tool"
    (run / "config.yaml").write_text(registered.resolve().dump())
    with pytest.raises(DataError, match=r"DATA\.MODULE is json\.tool, code .* --module json\.tool$"):
        check_module(open_run(str(run), run).cfg)
    registered.data["MODULE"] = "json.decoder"
    (run / "config.yaml").write_text(registered.resolve().dump())
    check_module(open_run(str(run), run, ["json.decoder"]).cfg)
