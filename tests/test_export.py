"""`framemix export`: an ONNX file says what the model says, and holds all that predicting needs."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from framemix.cli import app
from framemix.errors import ModelError
from framemix.inference.loading import load_classifier
from framemix.models.calibration import Calibration
from tests.terminal import FRAMEMIX, assert_readable, on_terminal
from tests.test_atomic import fill
from tests.tiny_model import record, write_model, write_video
from tests.tiny_store import ACTIONS, mix_settings, nonlocal_config

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")


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
    if config is not None:
        mix["calibration"] = Calibration(temperature=2.5, alarm=ACTIONS[1], on=0.6, usual=-1.0)
    write_model(folder / "model.safetensors", config, trained_on=record(2.0, drawn=True), **mix)
    write_video(folder / "a.avi")
    done = run("export", folder / "model.safetensors", folder / "a.avi")
    assert done.exit_code == 0, (done.output, done.exception)
    assert "from PyTorch's probabilities on 1 clips" in done.stdout
    return folder


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_predicts_the_same_as_pytorch_for_any_number_of_clips(exported: Path, batch: int) -> None:
    ours = load_classifier(exported / "model.safetensors", "cpu")
    theirs = load_classifier(exported / "model.onnx")
    assert (theirs.classes, theirs.mix) == (ours.classes, ours.mix)
    assert theirs.trained_on == ours.trained_on == record(2.0, drawn=True)
    assert theirs.calibration == ours.calibration
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
def test_another_process_exports_the_same_bytes_and_is_readable_on_a_terminal(
    exported: Path, tmp_path: Path
) -> None:
    again = ["export", str(exported / "model.safetensors"), "-o", "again.onnx"]
    shown = on_terminal([*FRAMEMIX, *again], tmp_path)
    assert shown.code == 0, shown.text
    assert_readable(shown)
    assert "from PyTorch's probabilities on 2 clips of noise" in " ".join(shown.text.split())
    assert (tmp_path / "again.onnx").read_bytes() == (exported / "model.onnx").read_bytes()


def test_a_full_disk_is_one_line_and_leaves_nothing(
    exported: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = SimpleNamespace(model_proto=onnx.load(exported / "model.onnx"))
    monkeypatch.setattr("torch.onnx.export", lambda *_, **how: program)  # which takes seconds
    fill(small_disk)
    done = run("export", exported / "model.safetensors", "--output", small_disk / "a.onnx")
    assert str(done.exception).startswith(f"{small_disk}: no space left on this disk; make room")
    assert [file.name for file in small_disk.iterdir()] == ["rest"]


def test_an_onnx_file_that_is_not_ours_is_reported(tmp_path: Path) -> None:
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


TYPES = onnx.TensorProto
MIX = mix_settings().model_dump(mode="json")


def value(name: str, dtype: int, shape: Any) -> Any:
    return onnx.helper.make_tensor_value_info(name, dtype, shape)


def a_third(answers: Any = (1 / 3, 1 / 3, 1 / 3)) -> list[Any]:
    """Nodes that answer the same to each clip: its mean times 0, plus the answers."""
    constants = {"axes": [1, 2, 3, 4], "one": [1], "zero": 0.0, "answers": list(answers)}
    make = onnx.helper.make_node
    return [
        *(
            make("Constant", [], [name], **{"value": onnx.numpy_helper.from_array(as_array(array))})
            for name, array in constants.items()
        ),
        make("Cast", ["clips"], ["x"], to=TYPES.FLOAT),
        make("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        make("Unsqueeze", ["mean", "one"], ["column"]),
        make("Mul", ["column", "zero"], ["zeros"]),
        make("Add", ["zeros", "answers"], ["probabilities"]),
    ]


def as_array(values: Any) -> np.ndarray:
    array = np.array(values)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def endless() -> list[Any]:
    """Nodes that loop for as long as true is true."""
    make, true = onnx.helper.make_node, np.array(True)
    body = onnx.helper.make_graph(
        [make("Identity", ["on"], ["on_out"]), make("Add", ["v", "v"], ["v_out"])],
        "body",
        [value("i", TYPES.INT64, []), value("on", TYPES.BOOL, []), value("v", TYPES.FLOAT, None)],
        [value("on_out", TYPES.BOOL, []), value("v_out", TYPES.FLOAT, None)],
    )
    *first, last = a_third()
    last.output[0] = "start"
    constant = make("Constant", [], ["true"], value=onnx.numpy_helper.from_array(true))
    return [
        *first,
        last,
        constant,
        make("Loop", ["", "true", "start"], ["probabilities"], body=body),
    ]


def cut_down() -> list[Any]:
    """Nodes that answer with two columns, which is found out only as they run."""
    *first, last = a_third()
    last.output[0] = "all"
    chosen = onnx.numpy_helper.from_array(np.array([True, True, False]))
    constant = onnx.helper.make_node("Constant", [], ["chosen"], value=chosen)
    cut = onnx.helper.make_node("Compress", ["all", "chosen"], ["probabilities"], axis=1)
    return [*first, last, constant, cut]


def write_foreign(
    path: Path,
    nodes: Any = None,
    inputs: Any = ("clips", TYPES.UINT8, ["batch", 4, 16, 24, 3]),
    output: Any = ("probabilities", TYPES.FLOAT, ["batch", 3]),
    classes: str = json.dumps(ACTIONS),
    mix: str = json.dumps(MIX),
    more: Any = (),
    functions: Any = (),
) -> Path:
    """Write an ONNX file by hand: as `export` would, but for the changes."""
    graph = onnx.helper.make_graph(
        nodes or a_third(), "g", [value(*inputs), *more], [value(*output)]
    )
    opsets = [onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid("own", 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, functions=functions)
    model.ir_version = 10
    onnx.helper.set_model_props(model, {"framemix.classes": classes, "framemix.mix": mix})
    onnx.save(model, path)
    return path


def itself() -> Any:
    """A function that calls itself."""
    call, opsets = onnx.helper.make_node("f", ["x"], ["y"], domain="own"), []
    opsets = [onnx.helper.make_opsetid("own", 1)]
    return onnx.helper.make_function("own", "f", ["x"], ["y"], [call], opsets)


def elsewhere(nodes: Any) -> Any:
    """The nodes with a constant that is to be read from another file."""
    for node in nodes:
        if node.output[0] == "answers":
            tensor = node.attribute[0].t
            onnx.external_data_helper.set_external_data(tensor, "/dev/zero")
            tensor.ClearField("raw_data")
    return nodes


def test_a_file_made_by_hand_as_export_makes_it_is_read(tmp_path: Path) -> None:
    classifier = load_classifier(write_foreign(tmp_path / "a.onnx"))
    said = classifier.probabilities(np.zeros((2, 4, 16, 24, 3), np.uint8))
    np.testing.assert_allclose(said, 1 / 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": ("clips", TYPES.UINT8, [1, 4, 16, 24, 3])}, "its inputs are clips tensor"),
        ({"inputs": ("clips", TYPES.UINT8, ["b", 4, 16, 24, 1])}, "its inputs are clips tensor"),
        ({"inputs": ("clips", TYPES.FLOAT, ["b", 4, 16, 24, 3])}, "its inputs are clips tensor"),
        ({"more": [value("y", TYPES.FLOAT, [1])]}, r"its inputs are .*, y tensor\(float\) \(1\);"),
        ({"output": ("zeros", TYPES.FLOAT, ["b", 1])}, "its outputs are zeros tensor"),
        ({"classes": '["a", "b"]'}, r"its outputs are .*, 3\); allowed: probabilities .*, 2\)"),
        ({"classes": '["a"'}, r"metadata: framemix\.classes: Invalid JSON"),
        ({"classes": '{"a": 1}'}, r"metadata: framemix\.classes = .*: allowed: a list"),
        ({"classes": "[1, 2, 3]"}, r"metadata: framemix\.classes.*: allowed: text"),
        ({"mix": "linear"}, r"metadata: framemix\.mix: Invalid JSON"),
        ({"mix": "[" * 10**5}, r"metadata: framemix\.mix: Invalid JSON: recursion limit"),
        ({"mix": "[]"}, r"metadata: framemix\.mix = \[\]: allowed: a "),
        ({"mix": "{}"}, "mix settings: method: missing"),
        ({"mix": json.dumps(MIX | {"size": [10**9, 2]})}, "mix settings: size.0 = 1000000000"),
        ({"mix": json.dumps(MIX | {"segments": 10**18})}, "mix settings: segments = 1000000"),
        (
            {"mix": json.dumps(MIX | {"segments": 10**4, "size": [8000, 8000]})},
            "mix settings: segments = 10000, size = .*: clips of 1920000000000 values; allowed",
        ),
        ({"nodes": endless()}, r"has graphs inside of its graph \(Loop\)"),
        ({"functions": [itself()]}, r"has graphs inside of its graph \(f\)"),
        ({"nodes": elsewhere(a_third())}, "has weights in other files"),
        ({"nodes": a_third()[:-1]}, "not a readable ONNX file"),
    ],
)
def test_a_foreign_file_is_refused_before_it_computes(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write_foreign(tmp_path / "a.onnx", **change)
    with pytest.raises(ModelError, match=f"^{path}: {message}") as caught:
        load_classifier(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": a_third((0.5, np.nan, 0.5))}, "outputs nan; allowed: probabilities, from 0 to"),
        ({"nodes": a_third((0.5, 7.25, 0.5))}, r"outputs 7\.25; allowed: probabilities, from 0"),
        (
            {"nodes": cut_down(), "output": ("probabilities", TYPES.FLOAT, ["b", "k"])},
            r"outputs of shape \(1, 2\); allowed: \(1, 3\), one for each clip and class",
        ),
    ],
)
@pytest.mark.parametrize("command", [["predict"], ["watch", "--as-fast-as-possible"]])
def test_predictions_that_are_no_probabilities_end_the_command(
    change: dict[str, Any], message: str, command: list[str], tmp_path: Path
) -> None:
    path = write_foreign(tmp_path / "a.onnx", **change)
    done = run(*command, path, write_video(tmp_path / "a.avi", frames=60))
    assert done.exit_code == 1
    assert "nan" not in done.stdout
    with pytest.raises(ModelError, match=f"^{path}: {message}"):
        raise done.exception


def test_a_missing_package_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"pip install '\.\[onnx\]'"):
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
def test_what_cannot_be_the_output_is_reported_and_left_as_it_is(
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
