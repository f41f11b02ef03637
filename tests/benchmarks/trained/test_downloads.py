"""Published weights: found in the local caches and checked, fetched whole or not at all, told in one line."""

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.core.checkout import ROOT
from benchmarks.core.errors import ConfigError
from benchmarks.trained import downloads
from benchmarks.trained.downloads import download, fetch, listing, named
from methods.base.errors import MethodError
from methods.networks import NETWORKS, build_segmentor
from methods.pretrained.published_weights import PUBLISHED, HubFile, PackagedFile, TorchHubFile

CONTENT = bytes(range(256)) * 20_000  # 5 MB, several chunks
DIGEST = hashlib.sha256(CONTENT).hexdigest()
COMMAND = ROOT / "benchmarks" / "weights.py"


class Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/absent.pth":
            self.send_error(404)
            return
        if self.path == "/gated.pth":  # as the hub: those who are let in are sent on to another address
            allowed = self.headers["Authorization"] == "Bearer secret"
            self.send_response(302 if allowed else 401)
            self.send_header("Location", "/sent_on.pth")
            self.end_headers()
            return
        if self.path == "/sent_on.pth" and self.headers["Authorization"]:
            self.send_error(400, "a token that is not mine")
            return
        self.send_response(200)
        if self.path != "/unsized.pth":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if self.path in ("/cut.pth", "/silent.pth") else CONTENT)
        if self.path == "/silent.pth":
            self.rfile.read(1)  # until the client has gone

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("file", ["good.pth", "unsized.pth"])
@pytest.mark.parametrize("known", [DIGEST, DIGEST[:8], ""], ids=["whole", "prefix", "unknown"])
def test_a_good_file_is_named_when_it_is_whole(tmp_path: Path, address: str, file: str, known: str) -> None:
    destination = tmp_path / "new" / "folder" / "weights.pth"
    assert download("some", f"{address}/{file}", destination, known) == DIGEST
    assert destination.read_bytes() == CONTENT
    assert files(tmp_path) == ["weights.pth"]


@pytest.mark.parametrize(
    ("file", "known", "told"),
    [
        ("good.pth", "0" * 64, f"sent has SHA-256 {DIGEST}, expected {'0' * 64}; nothing of it was kept$"),
        ("good.pth", "e67eebb6", "expected e67eebb6... .the publisher gives these digits.; nothing of it was kept$"),
        ("absent.pth", "", "not fetched, the server answered 404 Not Found; fetch {url} by other means and put it at "),
        ("cut.pth", "", f"not fetched, the connection ended after {len(CONTENT) // 2} of {len(CONTENT)} bytes; fetch "),
    ],
)
def test_a_fault_keeps_what_was_there(tmp_path: Path, address: str, file: str, known: str, told: str) -> None:
    destination = tmp_path / "weights.pth"
    destination.write_text("old")
    url = f"{address}/{file}"
    with pytest.raises(ConfigError, match=rf"^weights some: .*{told.format(url=url)}") as error:
        download("some", url, destination, known)
    assert "\n" not in str(error.value)
    assert url in str(error.value)
    assert files(tmp_path) == ["weights.pth"]
    assert destination.read_text() == "old"


def test_no_connection_and_no_room_are_told(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match=r"^weights a: not fetched, no connection .*; fetch http://127\.0\.0\.1:1/x"):
        download("a", "http://127.0.0.1:1/x", tmp_path / "x", "")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^weights a: not fetched, .*File exists.*put it at "):
        download("a", f"{address}/good.pth", tmp_path / "file" / "x", "")
    assert files(tmp_path) == ["file"]


def test_a_server_that_falls_silent_is_told(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "SILENCE_SECONDS", 0.3)
    told = r"^weights a: not fetched, the server said nothing for 0\.3 seconds; fetch http"
    with pytest.raises(ConfigError, match=told):
        download("a", f"{address}/silent.pth", tmp_path / "x", "")
    assert files(tmp_path) == []


@pytest.mark.parametrize(("file", "told"), [("good.pth", "0/5 MB"), ("unsized.pth", "0 MB")])
def test_a_download_says_what_comes_and_how_much(
    tmp_path: Path, address: str, file: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    download("some", f"{address}/{file}", tmp_path / "x", "")
    assert capsys.readouterr() == ("", f"fetching some  {told}  {address}/{file}  time left -\n")


def test_an_interruption_leaves_nothing(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def __init__(self) -> None:
            self.chunks = 0

        def update(self, chunk: bytes) -> None:
            self.chunks += 1
            if self.chunks == 3:
                assert len(files(tmp_path)) == 1  # it was under way
                raise KeyboardInterrupt

    monkeypatch.setattr(downloads.hashlib, "sha256", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        download("a", f"{address}/good.pth", tmp_path / "x", "")
    assert files(tmp_path) == []


def test_fetch_says_what_the_digest_is_worth(torch_home: Path, address: str) -> None:
    whole = TorchHubFile("some", "a network", DIGEST, f"{address}/good.pth")
    assert fetch(whole) == f"some: {torch_home / 'good.pth'}, SHA-256 {DIGEST} as recorded"
    assert fetch(whole) == f"some: here already, {torch_home / 'good.pth'}"
    (torch_home / "good.pth").write_text("broken")
    assert fetch(replace(whole, sha256=DIGEST[:8])).endswith("whose first digits are those its publisher records")
    (torch_home / "good.pth").unlink()
    told = fetch(replace(whole, sha256=""))
    assert told.endswith(f"SHA-256 {DIGEST}, which could not be compared: its publisher records none")
    assert fetch(PUBLISHED["efficientnet-lite0"]).startswith("efficientnet-lite0: here already, ")


def test_a_fetched_file_is_what_training_finds(
    torch_home: Path, address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "iopath"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    for name in ("resnet101_v1c", "detectron2://DeepLab/R-103.pkl", "nvidia/mit-b0"):
        weights = PUBLISHED[name]
        line = (
            rf"^weights {name}: not on this machine .no {weights.destination()}.; fetch them with .*weights.py {name}"
        )
        with pytest.raises(MethodError, match=line):
            weights.find()
        monkeypatch.setattr(type(weights), "url", lambda _: f"{address}/good.pth")
        with pytest.raises(ConfigError, match="expected") if weights.sha256 else nullcontext():
            fetch(weights)
        mine = replace(weights, sha256=weights.sha256 and DIGEST)
        fetch(mine)
        assert mine.find() == str(weights.destination())
        assert Path(mine.find()).read_bytes() == CONTENT
        if weights.sha256:
            with pytest.raises(MethodError, match=rf"has SHA-256 {DIGEST}, expected {weights.sha256}.*; remove it and"):
                weights.find()


def test_gated_weights_say_how_to_be_let_to_them(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(HubFile, "url", lambda _: f"{address}/gated.pth")
    token: list[str | None] = [None]
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token[0])
    weights = replace(PUBLISHED["facebook/dinov3-vitb16-pretrain-lvd1689m"], sha256=DIGEST)
    way_in = (
        r"it is gated: accept the licence on the page of facebook/dinov3-vitb16-pretrain-lvd1689m on the Hugging Face "
        r"hub, and log in with `hf auth login`"
    )
    with pytest.raises(MethodError, match=rf"or give the path of a checkpoint or 'none' \({way_in}\)$"):
        weights.find()
    for token[0] in (None, "of somebody who was not asked"):
        with pytest.raises(ConfigError, match=rf"not fetched, the server answered 401 Unauthorized: {way_in}$"):
            fetch(weights)
    token[0] = "secret"
    assert fetch(weights).endswith("as recorded")
    # Where nothing is gated nobody is told who asks.
    assert PUBLISHED["facebook/dinov2-base"].token() is None
    assert "gated" not in str(PUBLISHED["facebook/dinov2-base"].access())


def test_the_line_names_the_interpreter_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is called below the working folder: an environment's is a link to one that lacks the packages."""
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env/bin/python").symlink_to("/usr/bin/env")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "env/bin/python"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))

    def told() -> str:
        with pytest.raises(MethodError) as error:
            PUBLISHED["nvidia/mit-b0"].find()
        return str(error.value).split("`")[1]

    monkeypatch.chdir(COMMAND.parents[1])
    assert told() == f"{tmp_path}/env/bin/python benchmarks/weights.py nvidia/mit-b0"
    monkeypatch.chdir(tmp_path)
    assert told() == f"env/bin/python {COMMAND} nvidia/mit-b0"
    # What is told can be typed as it stands.
    monkeypatch.setattr(sys, "executable", str(tmp_path / "my env/python"))
    assert told().startswith("'my env/python' ")


def test_places_are_those_of_the_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """detectron2's PathManager and the hub's own look-up find a file where ours puts it."""
    from detectron2.utils.file_io import PathManager
    from huggingface_hub import hf_hub_download

    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "iopath"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    zoo, hub = PUBLISHED["detectron2://DeepLab/R-52.pkl"], PUBLISHED["nvidia/mit-b1"]
    for weights in (zoo, hub):
        weights.destination().parent.mkdir(parents=True)
        weights.destination().write_text(weights.name)
    assert Path(PathManager.get_local_path(zoo.name)).read_text() == zoo.name
    revision = hub.destination().parent.name
    path = hf_hub_download(
        hub.name, "pytorch_model.bin", revision=revision, cache_dir=tmp_path / "hf", local_files_only=True
    )
    assert Path(path).read_text() == hub.name
    assert hub.url() == f"https://huggingface.co/nvidia/mit-b1/resolve/{revision}/pytorch_model.bin"


def test_every_network_has_weights_with_an_address() -> None:
    for name, spec in NETWORKS.items():
        if spec.weights is None:
            assert name in ("daformer-tiny", "daformer-mit-small")  # the second is of tests that this process ran
            continue
        assert PUBLISHED[spec.weights.name] is spec.weights is named(name)
        if not isinstance(spec.weights, PackagedFile):
            assert spec.weights.url().startswith("https://")
    for weights in PUBLISHED.values():
        assert len(weights.sha256) in (0, 8, 64)
        assert set(weights.sha256) <= set("0123456789abcdef")
    # The two that OpenMMLab names after their digests.
    for name in ("resnet50_v1c", "resnet101_v1c"):
        assert PUBLISHED[name].url().endswith(f"{name}-{PUBLISHED[name].sha256}.pth")


def test_weights_of_a_network_of_ones_own_are_known_by_either_name(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = TorchHubFile("own_v1", "an encoder of mine", "0123abcd", "https://example.org/own_v1.pth")
    monkeypatch.setitem(NETWORKS, "own", replace(NETWORKS["daformer-lite0"], weights=weights))
    monkeypatch.setitem(NETWORKS, "without", replace(NETWORKS["daformer-lite0"], weights=None))
    assert named("own") is named("own_v1") is weights
    (line,) = [line for line in listing().splitlines() if line.startswith("own_v1")]
    assert line.split()[-2:] == ["no", "own"]
    with pytest.raises(ConfigError, match=r"^network 'without' has no published weights to fetch$"):
        named("without")


def test_weights_of_another_network_are_refused_before_they_are_looked_for() -> None:
    torch.manual_seed(0)
    for weights, told in (
        ("nvidia/mit-b5", "of Mix Transformer B5; deeplabv2-r101 has ResNet-101 with a deep stem of 64 channels; "),
        ("detectron2://DeepLab/R-103.pkl", "of ResNet-101 with a deep stem of 128 channels; deeplabv2-r101 has "),
        ("detectron2://ImageNetPretrained/MSRA/R-101.pkl", "fit no network here; .* plain 7x7 .* BGR .* 1x1 "),
        ("detectron2://ImageNetPretrained/torchvision/R-50.pkl", "fit no network here; .*DeepLab/R-52.pkl, "),
    ):
        with pytest.raises(
            MethodError, match=rf"^weights {weights}: {told}.*takes imagenet, none, resnet101_v1c"
        ) as error:
            build_segmentor("deeplabv2-r101", 5, weights)
        assert "\n" not in str(error.value)


def test_list_names_all() -> None:
    lines = listing().splitlines()
    assert len(lines) == 2 + len(PUBLISHED)
    assert any("daformer-mitb3" in line and "nvidia/mit-b3" in line and " 5670aa22 " in line for line in lines)
    with pytest.raises(ConfigError, match=r"^'mit-b5' is neither .*; did you mean 'nvidia/mit-b5'\?"):
        named("mit-b5")


@pytest.mark.parametrize(
    ("words", "told", "way_out"),
    [
        ([], "error: no NAME given", "--list"),
        (
            ["resnet50_v1c"],
            "error: weights resnet50_v1c: not fetched, ",
            "put it at {}/hub/checkpoints/resnet50_v1c-2cccc1ad.pth",
        ),
    ],
)
def test_the_command_ends_in_one_line(tmp_path: Path, words: list[str], told: str, way_out: str) -> None:
    """The second one offline: nothing listens where the proxy should be."""
    proxy = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:1")
    run = subprocess.run(
        [sys.executable, str(COMMAND), *words],
        env={"PATH": "", "HOME": str(tmp_path), "TORCH_HOME": str(tmp_path), **proxy},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.startswith(told)
    assert run.stderr.count("\n") == 1
    assert way_out.format(tmp_path) in run.stderr
