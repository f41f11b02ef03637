"""Weights: every published spelling round trips, and a file that does not fit says so in one line."""

import hashlib
import io
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from narrow_networks import narrow_resnet
from torch import Tensor

from methods.base.errors import MethodError
from methods.networks import NETWORKS, Segmentor, build_segmentor
from methods.networks.weights import load_weights, read_state_dict
from methods.pretrained.published_weights import PUBLISHED

CLASSES = 5
State = dict[str, Tensor]
Rule = tuple[str, str | Callable[[re.Match[str]], str]]


def build(name: str, seed: int, weights: str = "none", num_classes: int = CLASSES) -> Segmentor:
    torch.manual_seed(seed)
    return build_segmentor(name, num_classes, weights)


def respell(state: State, rules: list[Rule]) -> State:
    """Apply every rule, in order, to every key."""
    respelled = {}
    for key, value in state.items():
        for pattern, spelling in rules:
            key = re.sub(pattern, spelling, key)
        respelled[key] = value
    return respelled


def raise_index(state: State, pattern: str, step: int) -> State:
    return {re.sub(pattern, lambda m: f"{m[1]}{int(m[2]) + step}", key): value for key, value in state.items()}


# transformers' names before SegFormer's modules were renamed, which the published files have, and those since.
OLDER_TO_NEWER: list[Rule] = [
    (r"^encoder\.patch_embeddings\.(\d)\.", r"stages.\1.patch_embeddings."),
    (r"^encoder\.block\.(\d)\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"^encoder\.layer_norm\.(\d)", r"stages.\1.layer_norm"),
    (r"layer_norm_1", "layernorm_before"),
    (r"layer_norm_2", "layernorm_after"),
    (r"attention\.self\.sr", "attention.sequence_reduction.sequence_reduction"),
    (r"attention\.self\.layer_norm", "attention.sequence_reduction.layer_norm"),
    (r"attention\.self\.(query|key|value)", lambda m: f"attention.{m[1][0]}_proj"),
    (r"attention\.output\.dense", "attention.o_proj"),
    (r"mlp\.dense", "mlp.fc"),
]


def to_newer(state: State) -> State:
    """The encoder's own names -> newer transformers', whichever is installed."""
    return respell(state, [(r"^mit\.", ""), *OLDER_TO_NEWER])


def to_authors(state: State) -> State:
    """The encoder's own names -> those of SegFormer's authors, written from their code's attribute names."""
    rules: list[Rule] = [
        (r"^stages\.(\d)\.patch_embeddings\.proj", r"patch_embed\1.proj"),
        (r"^stages\.(\d)\.patch_embeddings\.layer_norm", r"patch_embed\1.norm"),
        (r"^stages\.(\d)\.layer_norm", r"norm\1"),
        (r"^stages\.(\d)\.blocks\.", r"block\1."),
        (r"layernorm_before", "norm1"),
        (r"layernorm_after", "norm2"),
        (r"attention\.sequence_reduction\.sequence_reduction", "attn.sr"),
        (r"attention\.sequence_reduction\.layer_norm", "attn.norm"),
        (r"attention\.q_proj", "attn.q"),
        (r"attention\.o_proj", "attn.proj"),
    ]
    state = raise_index(respell(to_newer(state), rules), r"^(patch_embed|block|norm)(\d)", 1)
    for key in [key for key in state if "attention.k_proj" in key]:
        joined = torch.cat([state.pop(key), state.pop(key.replace("k_proj", "v_proj"))])
        state[key.replace("attention.k_proj", "attn.kv")] = joined
    return state


def to_older_transformers(state: State) -> State:
    """The encoder's own names -> the older ones of transformers, as in the published files."""
    rules: list[Rule] = [
        (r"^stages\.(\d)\.patch_embeddings", r"segformer.encoder.patch_embeddings.\1"),
        (r"^stages\.(\d)\.layer_norm", r"segformer.encoder.layer_norm.\1"),
        (r"^stages\.(\d)\.blocks\.", r"segformer.encoder.block.\1."),
        (r"layernorm_before", "layer_norm_1"),
        (r"layernorm_after", "layer_norm_2"),
        (r"attention\.sequence_reduction\.sequence_reduction", "attention.self.sr"),
        (r"attention\.sequence_reduction\.layer_norm", "attention.self.layer_norm"),
        (r"attention\.q_proj", "attention.self.query"),
        (r"attention\.k_proj", "attention.self.key"),
        (r"attention\.v_proj", "attention.self.value"),
        (r"attention\.o_proj", "attention.output.dense"),
        (r"mlp\.fc", "mlp.dense"),
    ]
    return respell(to_newer(state), rules)


def to_mmseg(state: State) -> State:
    """detectron2's names -> OpenMMLab's ResNetV1c."""
    for own, conv, norm in ((1, 0, 1), (2, 3, 4), (3, 6, 7)):
        state = respell(
            state, [(rf"^stem\.conv{own}\.norm", f"stem.{norm}"), (rf"^stem\.conv{own}\.", f"stem.{conv}.")]
        )
    state = respell(
        state,
        [
            (r"^res(\d)\.", r"layer\1."),
            (r"conv(\d)\.norm", r"bn\1"),
            (r"shortcut\.norm", "downsample.1"),
            (r"shortcut", "downsample.0"),
        ],
    )
    return raise_index(state, r"^(layer)(\d)", -1)


def save(path: Path, content: Any) -> str:
    torch.save(content, path)
    return str(path)


def assert_encoders_equal(a: Segmentor, b: Segmentor) -> None:
    first, second = a.encoder.state_dict(), b.encoder.state_dict()
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


CLASSIFIER = {"weight": torch.zeros(1000, 4), "bias": torch.zeros(1000)}


def with_classifier(state: State, name: str) -> State:
    return state | {f"{name}.{kind}": value for kind, value in CLASSIFIER.items()}


SPELLINGS: dict[str, tuple[str, Callable[[State], Any], set[str]]] = {
    "authors of MiT": (
        "daformer-mitb0",
        lambda s: with_classifier(to_authors(s), "head"),
        {"patch_embed1.proj.weight", "block3.1.attn.kv.bias", "norm4.weight", "block1.0.mlp.dwconv.dwconv.bias"},
    ),
    "authors of MiT in mmseg": (
        "daformer-mitb0",
        lambda s: {"state_dict": {f"backbone.{k}": v for k, v in to_authors(s).items()}, "meta": {"epoch": 1}},
        set(),
    ),
    "older transformers": (
        "daformer-mitb0",
        lambda s: with_classifier(to_older_transformers(s), "classifier"),
        {
            "segformer.encoder.block.0.1.attention.self.sr.weight",
            "segformer.encoder.patch_embeddings.3.layer_norm.bias",
        },
    ),
    "own MiT": ("daformer-mitb0", lambda s: s, set()),
    "mmseg's ResNet": (
        "deeplabv2-r50",
        lambda s: {"state_dict": with_classifier(to_mmseg(s), "fc")},
        set(),
    ),
    "ResNet in data parallel": (
        "deeplabv2-r50",
        lambda s: {"model": {f"module.backbone.{k}": v for k, v in to_mmseg(s).items()}},
        set(),
    ),
    "own ResNet without counts": (
        "deeplabv2-r50",
        lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
        {"stem.conv3.norm.running_var", "res5.0.shortcut.weight"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("spelling", list(SPELLINGS))
def test_published_names_round_trip(tmp_path: Path, spelling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow_resnet(monkeypatch)
    name, respelled, expected = SPELLINGS[spelling]
    source = build(name, 1)
    content = respelled(source.encoder.state_dict())
    assert expected <= content.keys()
    assert_encoders_equal(build(name, 2, save(tmp_path / "weights.pth", content)), source)


def test_mmseg_names_are_mmsegs() -> None:
    """The respelling above against names that OpenMMLab's files really have."""
    with torch.device("meta"):
        state = build("deeplabv2-r50", 1).encoder.state_dict()
    keys = to_mmseg(state).keys()
    assert {"stem.0.weight", "stem.4.running_mean", "stem.6.weight", "stem.7.bias"} <= keys
    assert {"layer1.0.conv1.weight", "layer1.0.bn1.weight", "layer4.0.downsample.0.weight"} <= keys
    assert {"layer2.3.bn3.running_var", "layer3.0.downsample.1.bias"} <= keys
    assert not [key for key in keys if "res" in key or "norm" in key]


def test_keys_are_the_first_half_of_kv(tmp_path: Path) -> None:
    """The authors' attention on their joint matrix: k, v = kv(x).reshape(B, N, 2, C)[:, :, 0 and 1]."""
    source = build("daformer-mitb0", 1)
    state = to_authors(source.encoder.state_dict())
    loaded = to_newer(build("daformer-mitb0", 2, save(tmp_path / "mit_b0.pth", state)).encoder.state_dict())
    x = torch.randn(1, 7, 32)
    layer = "block1.0.attn.kv"
    keys, values = (x @ state[f"{layer}.weight"].T + state[f"{layer}.bias"]).reshape(1, 7, 2, 32).unbind(2)
    for expected, projection in ((keys, "k_proj"), (values, "v_proj")):
        prefix = f"stages.0.blocks.0.attention.{projection}"
        torch.testing.assert_close(x @ loaded[f"{prefix}.weight"].T + loaded[f"{prefix}.bias"], expected)


@pytest.mark.parametrize("as_file", [False, True])
def test_hugging_face_folder(tmp_path: Path, as_file: bool) -> None:
    from transformers import SegformerForImageClassification

    torch.manual_seed(3)
    mit: Any = build("daformer-mitb0", 1).encoder.mit
    published = SegformerForImageClassification(mit.config)
    published.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors" if as_file else tmp_path
    loaded = {
        key.removeprefix("mit."): v for key, v in build("daformer-mitb0", 2, str(path)).encoder.state_dict().items()
    }
    assert [k for k, v in published.segformer.state_dict().items() if not torch.equal(v, loaded[k])] == []


def recorded(monkeypatch: pytest.MonkeyPatch, name: str, file: Path) -> None:
    """Record this file's digest for the published weights of this name; the real files are not at hand."""
    published = replace(PUBLISHED[name], sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setitem(PUBLISHED, name, published)
    for network, spec in NETWORKS.items():
        if spec.default_weights == name:
            monkeypatch.setitem(NETWORKS, network, replace(spec, weights=published))


def test_hub_cache_is_read_and_its_absence_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        MethodError,
        match=r"^weights nvidia/mit-b0: not on this .*`\S+ benchmarks/weights.py nvidia/mit-b0`.*'none'$",
    ):
        build("daformer-mitb0", 1, "imagenet")
    repo = tmp_path / "models--nvidia--mit-b0"
    snapshot = repo / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    source = build("daformer-mitb0", 1)
    file = snapshot / "pytorch_model.bin"
    torch.save(to_older_transformers(source.encoder.state_dict()), file)
    with pytest.raises(
        MethodError, match=rf"^weights nvidia/mit-b0: {file} has SHA-256 [0-9a-f]{{64}}, expected 4af8348c"
    ):
        build("daformer-mitb0", 1, "imagenet")
    recorded(monkeypatch, "nvidia/mit-b0", file)
    for weights in ("imagenet", "nvidia/mit-b0"):
        assert_encoders_equal(build("daformer-mitb0", 2, weights), source)


@pytest.mark.slow
def test_torch_hub_checkpoints_are_read_and_their_absence_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MethodError, match=r"^weights resnet101_v1c: .*resnet101_v1c-e67eebb6\.pth\); fetch .*'none'$"):
        build("deeplabv2-r101", 1, "imagenet")
    source = build("deeplabv2-r50", 1)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    save(folder / "resnet50_v1c-2cccc1ad.pth", {"state_dict": to_mmseg(source.encoder.state_dict())})
    recorded(monkeypatch, "resnet50_v1c", folder / "resnet50_v1c-2cccc1ad.pth")
    assert_encoders_equal(build("deeplabv2-r50", 2, "resnet50_v1c"), source)
    assert_encoders_equal(build("deeplabv3plus-r50", 2, "imagenet"), source)


@pytest.mark.slow
def test_detectron2_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As its converter writes R-52.pkl: the classifier beside the stem, counts of batches."""
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    source = build("deeplabv3plus-r52", 1)
    arrays = {k: v.numpy() for k, v in source.encoder.state_dict().items()}
    arrays["stem.fc.weight"] = CLASSIFIER["weight"].numpy()
    path = tmp_path / "detectron2" / "DeepLab" / "R-52.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "test", "matching_heuristics": True}))
    for weights in (str(path), "imagenet"):
        assert_encoders_equal(build("deeplabv3plus-r52", 2, weights), source)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickled_arrays_of_either_numpy(tmp_path: Path, protocol: int) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "count": np.int64(7), "order": np.ones((2, 2), order="F")}
    content = pickle.dumps({"model": OrderedDict(arrays)}, protocol)
    older = content.replace(b"cnumpy._core.", b"cnumpy.core.")  # the module's name before numpy 2
    assert (older != content) == (protocol == 2)
    for file, written in (("new.pkl", content), ("old.pkl", older)):
        (tmp_path / file).write_bytes(written)
        state = read_state_dict(str(tmp_path / file))
        assert {key: value.tolist() for key, value in state.items()} == {k: v.tolist() for k, v in arrays.items()}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("core", [b"numpy._core", b"numpy.core"])
def test_numbers_of_numpy_beside_the_weights(tmp_path: Path, zipped: bool, core: bytes) -> None:
    """As mmcv's checkpoints have them; the module's name is that of numpy 2, and of before."""
    state = {
        "weight": torch.arange(6.0).reshape(2, 3),
        "scalar": np.float32(0.5),
        "swapped": np.array([[1, 2, 3]], ">i2"),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    }
    meta = {
        "best": np.float64(0.61),
        "iter": np.int64(7),
        "name": np.str_("mIoU"),
        "palette": np.eye(3, dtype=np.uint8),
    }
    buffer = io.BytesIO()
    torch.save(
        {"meta": meta | {"done": np.bool_(True)}, "state_dict": state}, buffer, _use_new_zipfile_serialization=zipped
    )
    own = b"numpy._core" if b"numpy._core" in buffer.getvalue() else b"numpy.core"
    path = tmp_path / "mmcv.pth"
    path.write_bytes(renamed(buffer.getvalue(), own, core, zipped))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = read_state_dict(str(path))
    assert {key: value.tolist() for key, value in read.items()} == {key: value.tolist() for key, value in state.items()}
    assert read["swapped"].dtype == torch.int16
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)  # what other files may hold is as it was


def renamed(content: bytes, old: bytes, new: bytes, zipped: bool) -> bytes:
    """A checkpoint with another name for a module."""
    if not zipped:
        return content.replace(old, new)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(buffer, "w") as written:
        for entry in archive.infolist():
            data = archive.read(entry)
            written.writestr(entry, data.replace(old, new) if entry.filename.endswith("data.pkl") else data)
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["daformer-lite0", "daformer-mitb0", "deeplabv2-r50"])
def test_whole_segmentor(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow_resnet(monkeypatch)
    source = build(name, 1)
    path = save(
        tmp_path / "model.pth", {"model": {f"module.{k}": v for k, v in source.state_dict().items()}, "iteration": 3}
    )
    loaded = build(name, 2, path)
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in source.state_dict().items())
    with pytest.raises(MethodError) as error:
        build(name, 2, path, num_classes=7)
    count = 4 if name == "deeplabv2-r50" else 2  # weights and biases of what classifies: two branches, or one layer
    told = rf"{count} of other shape: decoder\.\S+ \(file 5(x\d+)*, network 7(x\d+)*\)"
    assert re.search(told, str(error.value)), error.value


def test_default_weights_of_lite0_leave_the_decoder_random() -> None:
    first, second = build("daformer-lite0", 1, "imagenet"), build("daformer-lite0", 2, "efficientnet-lite0")
    assert_encoders_equal(first, second)
    assert not torch.equal(
        first.decoder.state_dict()["classifier.weight"], second.decoder.state_dict()["classifier.weight"]
    )
    assert first.encoder.state_dict()["stem.1.running_var"].std() > 0  # a fresh batch norm has all ones


def test_wrong_checkpoint_names_counts_keys_and_shapes(tmp_path: Path) -> None:
    segmentor = build("deeplabv2-r50", 1)
    state = to_mmseg(segmentor.encoder.state_dict())
    # torchvision's plain stem, and a layer nobody knows.
    plain = {k: v for k, v in state.items() if not k.startswith("stem.")}
    plain |= {"conv1.weight": torch.zeros(64, 3, 7, 7), "bn1.weight": torch.zeros(64), "extra.weight": torch.zeros(1)}
    path = save(tmp_path / "resnet50.pth", plain)
    with pytest.raises(MethodError) as error:
        build("deeplabv2-r50", 1, path)
    line = str(error.value)
    assert line.startswith(f"weights {path}: do not fit deeplabv2-r50: 13 missing: stem.conv1.norm.bias, ")
    assert "; 1 unexpected: extra.weight; 2 of other shape: " in line
    assert "stem.conv1.weight (file 64x3x7x7, network 32x3x3x3)" in line
    assert "\n" not in line
    assert line.count("stem.") <= 5  # the first few of each kind, not all


@pytest.mark.slow
def test_the_wrong_familys_checkpoint_leaves_the_network_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow_resnet(monkeypatch)
    path = save(tmp_path / "mit.pth", build("daformer-mitb0", 1).encoder.state_dict())
    segmentor = build("deeplabv2-r50", 2)
    with pytest.raises(MethodError, match=r"275 missing: stem\.conv1\.weight, .*, \.\.\.; 192 unexpected: mit\."):
        load_weights(segmentor, path)
    assert all(
        torch.equal(a, b) for a, b in zip(segmentor.parameters(), build("deeplabv2-r50", 2).parameters(), strict=True)
    )


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("a checkpoint must not run code",))


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("a.pth", b"not a checkpoint", "cannot be read (not a torch checkpoint, or one that holds more than tensors)"),
        ("b.safetensors", b"\x00\x01", "cannot be read ("),
        ("c.pkl", b"junk", "cannot be read ("),
        ("g.pkl", pickle.dumps({"model": _Runs()}), "cannot be read (it holds more than arrays: builtins.print)"),
        (
            "d.pth",
            {"weights": _Runs()},
            "cannot be read (it holds print, expected tensors, numbers and text: more could run code. If you trust the "
            "file, torch.load it with weights_only=False in Python, and torch.save its state dict to another one)",
        ),
        (
            "h.pth",
            {"state_dict": {"a": torch.zeros(1)}, "message_hub": {"loss": Path("x")}},
            f"cannot be read (it holds {type(Path()).__module__}.{type(Path()).__name__}, expected tensors",
        ),
        (
            "i.pth",
            {"state_dict": {"a": torch.zeros(1)}, "meta": np.array([_Runs()])},
            "cannot be read (it holds values of numpy's type 'O8', expected numbers)",
        ),
        ("e.pth", {"epoch": 3}, "no state dict found"),
        ("f.pth", [1, 2], "no state dict found"),
        ("folder", None, "the folder holds none of model.safetensors, pytorch_model.bin"),
    ],
)
def test_unreadable_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, content: Any, told: str
) -> None:
    path = tmp_path / file
    if content is None:
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save(path, content)
    with pytest.raises(MethodError) as error:
        build("daformer-lite0", 1, str(path))
    line = str(error.value)
    assert line.startswith(f"weights {path}: {told}")
    assert "\n" not in line
    assert "must not run" not in capsys.readouterr().out


def test_unknown_weights_suggest_the_nearest() -> None:
    with pytest.raises(
        MethodError, match=r"^weights 'imagnet': no such file, did you mean 'imagenet'\?; daformer-lite0 "
    ):
        build("daformer-lite0", 1, "imagnet")
