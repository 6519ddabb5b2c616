"""`framemix export`: an ONNX file says what the model says, and holds all that predicting needs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from framemix.cli import app
from framemix.errors import ModelError
from framemix.inference.loading import load_classifier
from tests.tiny_model import write_model, write_video
from tests.tiny_store import ACTIONS, mix_settings, nonlocal_config

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=True)


# The two that run always have both networks and both pixel formats.
@pytest.fixture(
    scope="module",
    params=[pytest.param("vivit", marks=pytest.mark.slow), "nonlocal", "vivit-yuv420p"],
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    config = nonlocal_config() if request.param == "nonlocal" else None
    mix: dict[str, Any] = {"pixel_format": "yuv420p"} if "yuv" in request.param else {}
    write_model(folder / "model.safetensors", config, **mix)
    write_video(folder / "a.avi")
    done = run("export", folder / "model.safetensors", folder / "a.avi")
    assert done.exit_code == 0, (done.output, done.exception)
    assert "from PyTorch's probabilities on 1 clips" in done.stdout
    return folder


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_says_what_pytorch_says_for_any_number_of_clips(exported: Path, batch: int) -> None:
    ours = load_classifier(exported / "model.safetensors", "cpu")
    theirs = load_classifier(exported / "model.onnx")
    assert (theirs.classes, theirs.mix) == (ours.classes, ours.mix)
    shape = (batch, ours.mix.segments, *ours.mix.frame_shape)
    clips = np.random.default_rng(batch).integers(0, 256, shape, np.uint8)
    np.testing.assert_allclose(theirs.probabilities(clips), ours.probabilities(clips), atol=2e-6)


def test_predict_takes_either_file(exported: Path) -> None:
    said = []
    for model in ("model.safetensors", "model.onnx"):
        done = run("predict", exported / model, exported / "a.avi", "--json")
        assert done.exit_code == 0, done.output
        said.append(json.loads(done.stdout)[0]["predictions"][0]["classes"])
    assert said[0] == pytest.approx(said[1], abs=2e-6)


def test_names_no_file_of_this_machine(exported: Path) -> None:
    assert b"site-packages" not in (exported / "model.onnx").read_bytes()
    onnx.checker.check_model(str(exported / "model.onnx"))


@pytest.mark.parametrize("exported", ["nonlocal"], indirect=True)
def test_exporting_again_gives_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    again = ("--output", tmp_path / "again.onnx")
    done = run("export", exported / "model.safetensors", *again)
    assert "from PyTorch's probabilities on 2 clips of noise" in done.stdout
    assert (tmp_path / "again.onnx").read_bytes() == (exported / "model.onnx").read_bytes()


def test_a_full_disk_is_one_line_and_leaves_nothing(exported: Path, small_disk: Path) -> None:
    done = run("export", exported / "model.safetensors", "--output", small_disk / "a.onnx")
    assert str(done.exception).startswith(f"{small_disk}: no space left on this disk; make room")
    assert not list(small_disk.iterdir())


def test_an_onnx_file_that_is_not_ours_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.ONNX").write_text("no model")
    with pytest.raises(ModelError, match=r"text\.ONNX: not a readable ONNX file"):
        load_classifier(tmp_path / "text.ONNX")
    with pytest.raises(ModelError, match=r"none\.onnx: no such model file"):
        load_classifier(tmp_path / "none.onnx")
    value = onnx.helper.make_tensor_value_info("clips", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([], "empty", [value], [value])
    stranger = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)])
    stranger.ir_version = 10
    onnx.save(stranger, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match=r"other\.onnx: no classes and mix settings"):
        load_classifier(tmp_path / "other.onnx")


def test_a_missing_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"pip install 'framemix\[export\]'"):
        load_classifier(tmp_path / "model.onnx")


def test_mix_settings_survive(exported: Path) -> None:
    mix = load_classifier(exported / "model.onnx").mix
    assert mix == mix_settings(pixel_format=mix.pixel_format)
    assert load_classifier(exported / "model.onnx").classes == list(ACTIONS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.safetensors", "cannot be written; allowed: a name that ends in .onnx"),
        ("a.txt", "cannot be written; allowed: a name that ends in .onnx"),
        ("link.onnx", "would overwrite"),
        ("none/a.onnx", "cannot be written: No such file or directory"),
        ("folder.onnx", "cannot be written: Is a directory"),
    ],
)
def test_what_cannot_be_the_output_is_told_and_left_as_it_is(
    name: str, message: str, tmp_path: Path
) -> None:
    write_model(tmp_path / "model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "link.onnx").symlink_to("model.safetensors")
    done = run("export", tmp_path / "model.safetensors", "--output", tmp_path / name)
    assert done.exit_code == 1
    assert f"{tmp_path / name}: {message}" in str(done.exception)
    assert (tmp_path / "model.safetensors").read_bytes() == before
