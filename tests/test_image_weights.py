"""What users may rely on when a network starts from image weights: they fit, or one line."""

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch import Tensor

from framemix.errors import DatasetError, ModelError
from framemix.models import load_model
from framemix.models.config import ImageWeights
from framemix.models.i3d import I3D
from framemix.models.nonlocal_net import NonLocalNet
from framemix.models.resnet import ResNet
from framemix.models.tsn import TSM, TSN
from framemix.pretraining.image_weights import load_image_weights
from framemix.pretraining.pretrain import pretrain
from framemix.pretraining.settings import PretrainModel
from tests.tiny_store import TRAINING, machine, make_store, split_of

SIZES = {"depth": 10, "width": 8}
CLASSES = 5
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
Save = Callable[..., Path]


def trained_tsn(seed: int = 1) -> TSN:
    """A network whose batch norms have seen something."""
    torch.manual_seed(seed)
    model = TSN(**SIZES, num_classes=CLASSES)
    model(2 * torch.randn(4, 3, 2, 32, 32) + 1)
    return model.eval()


def image_state(model: ResNet) -> dict[str, Tensor]:
    """The state dict that torchvision's ResNet of the same weights has."""
    return {k: v.squeeze(2) if v.ndim == 5 else v for k, v in model.state_dict().items()}


def source(path: Path | str, sha256: str | None = None) -> ImageWeights:
    return ImageWeights(weights=str(path), weights_sha256=sha256)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Saves a state dict, under a name with the checksum if it is to be `named`."""

    def save(state: object, named: bool = False) -> Path:
        path = tmp_path / "resnet.pth"
        torch.save(state, path)
        if named:
            path = path.rename(tmp_path / f"resnet-{digest(path)[:8]}.pth")
        return path

    return save


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """Serves the test's folder on this machine; downloads go to a cache in it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def url(server: ThreadingHTTPServer, name: str) -> str:
    return f"http://127.0.0.1:{server.server_port}/{name}"


@pytest.mark.parametrize("classes", [CLASSES, 7])
def test_a_2d_network_starts_as_the_image_network(save: Save, classes: int) -> None:
    image = trained_tsn()
    model = TSN(**SIZES, num_classes=classes).eval()
    fresh = model.fc.weight.clone()
    path = save(image_state(image))
    assert load_image_weights(model, source(path)) == digest(path)
    clips = torch.randn(2, 3, 4, 32, 32)
    assert torch.equal(model.maps(clips), image.maps(clips))
    # The classifier comes along where it fits.
    assert torch.equal(model.fc.weight, image.fc.weight if classes == CLASSES else fresh)


@pytest.mark.parametrize("kind", [TSM, NonLocalNet, I3D])
def test_a_video_network_sees_a_still_as_the_image_network_does(
    save: Save, kind: type[ResNet]
) -> None:
    image = trained_tsn()
    model = kind(**SIZES, num_classes=CLASSES).eval()
    load_image_weights(model, source(save(image_state(image))))
    still = torch.randn(2, 3, 1, 32, 32)
    if kind is not TSM:  # the shift leaves channels empty at the ends
        torch.testing.assert_close(model(still.expand(-1, -1, 4, -1, -1)), image(still), **CLOSE)
    trunk = image.state_dict()
    assert all(torch.equal(v, trunk[k]) for k, v in model.state_dict().items() if "bn" in k)


def test_files_from_before_batches_were_counted_load(save: Save) -> None:
    image = trained_tsn()
    state = {k: v for k, v in image_state(image).items() if "num_batches" not in k}
    model = TSN(**SIZES, num_classes=CLASSES).eval()
    load_image_weights(model, source(save(state)))
    clips = torch.randn(2, 3, 4, 32, 32)
    assert torch.equal(model(clips), image(clips))


class Stranger:
    """What no file of tensors holds."""


STATE = image_state(trained_tsn())
WIDER = image_state(TSN(depth=10, width=16, num_classes=CLASSES))
BAD_STATES: dict[str, tuple[object, str]] = {
    "pickled": ({"conv1.weight": Stranger()}, "not a PyTorch file of tensors alone"),
    "list": ([1, 2], "not a state dict"),
    "numbers": ({"conv1.weight": 1}, "not a state dict"),
    "missing": ({k: v for k, v in STATE.items() if k != "bn1.bias"}, "lacks bn1.bias$"),
    "nan": (STATE | {"bn1.bias": STATE["bn1.bias"] * torch.nan}, "is not finite in bn1.bias$"),
    "unknown": (STATE | {"layer1.1.x": torch.zeros(1)}, "has unknown layer1.1.x$"),
    "depth": (STATE | {f"layer1.{i}.x": torch.zeros(1) for i in range(1, 9)}, "and 3 more$"),
    "width": (WIDER, "has other shapes in bn1.bias, bn1.running_mean, .* more$"),
    "empty": ({}, "lacks bn1.bias, "),
}


@pytest.mark.parametrize("case", BAD_STATES)
def test_weights_that_do_not_fit_are_one_line_and_change_nothing(save: Save, case: str) -> None:
    state, message = BAD_STATES[case]
    expect_error(save(state), message)


def expect_error(weights: Path | str, message: str, sha256: str | None = None) -> None:
    model = TSN(**SIZES, num_classes=CLASSES)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ModelError, match=message) as caught:
        load_image_weights(model, source(weights, sha256))
    assert str(caught.value).startswith(f"weights = {weights}: ")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    expect_error(tmp_path / "none.pth", r"cannot be read \(No such file or directory\)$")
    expect_error(tmp_path, r"cannot be read \(Is a directory\)$")
    for content in (b"", b"not torch", b"PK\x03\x04aaaa"):
        (tmp_path / "x.pth").write_bytes(content)
        expect_error(tmp_path / "x.pth", "not a PyTorch file of tensors alone")


def test_checksums_are_checked_in_the_name_and_in_the_settings(save: Save) -> None:
    path = save(STATE, named=True)
    model = TSN(**SIZES, num_classes=CLASSES)
    assert load_image_weights(model, source(path)) == digest(path)
    assert load_image_weights(model, source(path, digest(path))) == digest(path)
    expect_error(path, f"SHA-256 is {digest(path)}; allowed: {'0' * 64}$", "0" * 64)
    changed = path.with_name("resnet-00112233.pth")
    path.rename(changed)
    expect_error(changed, f"SHA-256 is {digest(changed)}; allowed: 00112233$")


def test_a_url_is_downloaded_once_and_then_needs_no_network(
    save: Save, server: ThreadingHTTPServer
) -> None:
    path = save(STATE, named=True)
    address, sha256 = url(server, path.name), digest(path)
    model = TSN(**SIZES, num_classes=CLASSES)
    assert load_image_weights(model, source(address)) == sha256
    path.unlink()
    assert load_image_weights(model, source(address)) == sha256
    assert torch.equal(model.conv1.weight.squeeze(2), STATE["conv1.weight"])


def test_what_starts_while_another_downloads_the_same_file_gets_it_too(
    save: Save, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(STATE, named=True)
    address, sha256 = url(server, path.name), digest(path)
    models = [TSN(**SIZES, num_classes=CLASSES) for _ in range(2)]
    both, replace = threading.Barrier(2, timeout=10), Path.replace

    def replace_together(partial: Path, target: Path) -> Path:
        both.wait()
        return replace(partial, target)

    monkeypatch.setattr(Path, "replace", replace_together)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(load_image_weights, models, [source(address)] * 2))
    assert found == [sha256] * 2


def test_a_cached_file_of_another_content_is_downloaded_again(
    save: Save, server: ThreadingHTTPServer
) -> None:
    address = url(server, save(STATE).name)
    for seed in (1, 2):
        path = save(image_state(trained_tsn(seed)))
        model = TSN(**SIZES, num_classes=CLASSES)
        assert load_image_weights(model, source(address, digest(path))) == digest(path)


def test_urls_that_cannot_be_trusted_or_reached_are_one_clear_line(
    save: Save, server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    path = save(STATE)
    expect_error(url(server, path.name), "a URL without checksum; allowed: with weights_sha256, or")
    expect_error(url(server, path.name), "SHA-256 is .*; allowed: 0000", "0" * 64)
    missing = url(server, "resnet-00112233.pth")
    expect_error(missing, r"cannot be downloaded \(HTTP Error 404: .*; allowed: a URL that this")
    offline = "http://127.0.0.1:1/resnet50-11ad3fa6.pth"
    expect_error(offline, r"cannot be downloaded \(.*refused.*; allowed: a URL that this .*a file$")
    assert not list((tmp_path / "torch").rglob("*.partial"))


def test_a_server_that_stops_sending_is_one_line_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("framemix.pretraining.image_weights.TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        begun = b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\nPK"
        with ThreadPoolExecutor(1) as pool:
            answered = pool.submit(lambda: (one := server.accept()[0]).sendall(begun) or one)
            address = f"http://127.0.0.1:{server.getsockname()[1]}/resnet-00112233.pth"
            expect_error(address, r"cannot be downloaded \(timed out\); allowed: a URL that this")
            answered.result().close()
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_a_disk_that_is_full_is_reported_and_not_as_an_address_that_is_not_reached(
    save: Save, server: ThreadingHTTPServer, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(small_disk))
    path = save({"fc.weight": torch.ones(200, 200)}, named=True)
    model = TSN(**SIZES, num_classes=CLASSES)
    with pytest.raises(DatasetError, match="checkpoints: no space left on this disk; make room"):
        load_image_weights(model, source(url(server, path.name)))
    assert not [file for file in small_disk.rglob("*") if file.is_file()]


def test_pretraining_starts_from_them_and_prediction_does_without(
    save: Save, tmp_path: Path
) -> None:
    store, models = make_store(tmp_path / "store"), []
    for seed in (1, 1, 2):
        path = save(image_state(trained_tsn(seed)))
        model = {"architecture": "tsn", **SIZES, "dropout": 0.0}
        weights = {"weights": str(path), "weights_sha256": None}
        pretrain(
            store,
            split_of(store),
            PretrainModel.model_validate(
                {**TRAINING, "epochs": 1, "learning_rate": 1e-9, "model": model | weights}
            ),
            seeds=[0],
            target=tmp_path,
            machine=machine(tmp_path / "scratch"),
        )
        path.unlink()
        models.append((tmp_path / "model.safetensors").read_bytes())
        trained = load_model(tmp_path / "model.safetensors").network
        image = trained_tsn(seed).conv1.weight
        torch.testing.assert_close(trained.conv1.weight, image, rtol=0, atol=1e-6)
    # The same scratch: what a file held is part of what the run is.
    assert models[0] == models[1] != models[2]
    assert str(tmp_path).encode() not in models[0]
