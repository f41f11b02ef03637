"""Data sets of a user's own that are registered with detectron2."""

from __future__ import annotations

from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from own_files import Own

from benchmarks.data import data_root, validation_set


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
        f"DatasetCatalog.register('{tag}_items', items)\n"
        f"DatasetCatalog.register('{tag}_empty', lambda: [])\n"
        f"DatasetCatalog.register('{tag}_fails', fails)\n"
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
    ],
)
def test_a_module_that_cannot_be_imported_is_named(registered: Own, module: str, expected: str) -> None:
    (registered.folder / "broken.py").write_text("1 / 0")
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
