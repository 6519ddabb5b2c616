"""What users may rely on who import framemix: what it offers, and what its documents show."""

import doctest
import re
import runpy
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import framemix
from framemix.cli import app
from framemix.errors import MixingError, ModelError, VideoError
from framemix.inference.clips import USUAL_LIMITS, Sliding
from framemix.inference.prediction import predict_videos
from framemix.mixing import mix_frames
from framemix.video.reading import stream_frames
from tests.tiny_model import record, write_model, write_video

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("Grow", "Left", "Right")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model and the video that examples name."""
    folder = tmp_path_factory.mktemp("python")
    write_model(folder / "model.safetensors", classes=CLASSES)
    write_video(folder / "clip.mp4", frames=60)
    return folder


def test_importing_framemix_loads_no_other_package() -> None:
    code = "import sys; before = {*sys.modules}; import framemix; print(*{*sys.modules} - before)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    packages = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert packages == {"framemix"}


def test_the_version_is_the_packages_in_python_and_on_the_command_line() -> None:
    assert framemix.__version__ == version("framemix")
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"framemix {framemix.__version__}\n")


def test_what_framemix_offers_is_listed_and_nothing_else_is_there() -> None:
    assert [name for name in framemix.__all__ if not hasattr(framemix, name)] == []
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        framemix.train  # type: ignore[attr-defined]  # noqa: B018


def test_predicts_a_whole_video_as_the_command_does(here: Path) -> None:
    model = framemix.load(here / "model.safetensors", device="cpu")
    prediction = model.predict(str(here / "clip.mp4"))
    (result,) = predict_videos(model.classifier, [here / "clip.mp4"], None, USUAL_LIMITS)
    (said,) = result.predictions
    assert (prediction.start, prediction.end) == (said.start, said.end)
    expected = dict(zip(CLASSES, said.probabilities.tolist(), strict=True))
    assert prediction.probabilities == pytest.approx(expected, abs=1e-6)
    falling = sorted(prediction.probabilities.values(), reverse=True)
    assert list(prediction.probabilities.values()) == falling
    assert prediction.likeliest == max(expected, key=lambda name: expected[name])


def test_windows_are_those_of_the_command(here: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "model.safetensors", classes=CLASSES, trained_on=record(2.0))
    model, video = framemix.load(tmp_path / "model.safetensors"), here / "clip.mp4"
    for window, sliding in ((3.0, Sliding(3.0, 0.5)), (None, Sliding(2.0, 0.5, usual=True))):
        (result,) = predict_videos(model.classifier, [video], sliding, USUAL_LIMITS)
        predictions = list(model.windows(video, window, step=0.5))
        spans = [(said.start, said.end) for said in result.predictions]
        assert [prediction[:2] for prediction in predictions] == spans
        assert len(predictions) > 5


@pytest.mark.parametrize("how", [{"window": 0.0}, {"window": float("nan")}, {"step": -1.0}])
def test_windows_that_cannot_be_name_the_argument(how: dict[str, float], here: Path) -> None:
    model, (name, value) = framemix.load(here / "model.safetensors"), *how.items()
    with pytest.raises(MixingError, match=f"^{name} = {value}: allowed"):
        model.windows(here / "clip.mp4", **how)


def test_a_file_and_its_frames_mix_to_the_same(here: Path) -> None:
    frames = np.stack(list(stream_frames(here / "clip.mp4", size=(24, 32), fit="squeeze")))
    how: dict[str, Any] = {"segments": 7, "method": "harmonic", "frames_per_segment": 3}
    mixed = framemix.mix(here / "clip.mp4", size=(24, 32), **how)
    assert np.array_equal(mixed, framemix.mix(frames, **how))
    assert np.array_equal(mixed, mix_frames(frames, **how))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "median"}, "^method = 'median': allowed: "),
        ({"segments": 0}, "^segments = 0: allowed: "),
        ({"segments": 11}, "^segments = 11: more than the 10 frames to mix"),
        ({"size": (8, 8)}, r"^size = \(8, 8\): allowed for a video file"),
        ({"video": np.zeros((9, 9, 3), np.uint8)}, r"^video = uint8 \(9, 9, 3\): allowed: uint8 "),
        ({"video": np.zeros((9, 9, 9, 3))}, "^video = float64 .*: allowed: uint8 "),
    ],
)
def test_what_cannot_be_mixed_names_the_argument(change: dict[str, Any], message: str) -> None:
    video = np.zeros((10, 8, 8, 3), np.uint8)
    with pytest.raises(MixingError, match=message):
        framemix.mix(**{"video": video, "segments": 2, "method": "linear", **change})


def test_a_file_that_is_missing_or_no_video_is_named(here: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.safetensors: no such model file"):
        framemix.load(tmp_path / "none.safetensors")
    (tmp_path / "text.mp4").write_text("no video")
    model = framemix.load(here / "model.safetensors")
    for use in (model.predict, lambda file: framemix.mix(file, segments=2, method="linear")):
        with pytest.raises(VideoError, match=r"text\.mp4: "):
            use(tmp_path / "text.mp4")


def examples() -> list[doctest.DocTest]:
    """The examples in the docstrings of all that framemix offers, and of its own."""
    finder, names = (
        doctest.DocTestFinder(exclude_empty=True),
        ("Model", "Prediction", "load", "mix"),
    )
    found = [one for name in names for one in finder.find(getattr(framemix, name), name)]
    found += [one for one in finder.find(framemix, "framemix") if one.name == "framemix"]
    return [one for one in found if one.examples]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_an_example_of_a_docstring_gives_what_it_shows(
    example: doctest.DocTest, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    example.globs = {"framemix": framemix}
    shown: list[str] = []
    assert doctest.DocTestRunner().run(example, out=shown.append).failed == 0, "".join(shown)


def test_the_api_page_has_all_names_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("pdoc")
    runpy.run_path(str(ROOT / "docs/write_api.py"))["main"](tmp_path)
    page = (tmp_path / "framemix.html").read_text()
    for name in (*framemix.__all__, "Model.predict", "Model.windows"):
        assert f'id="{name}"' in page, name
    assert re.findall(r'(?:src=|@import|<link[^>]*href=)"?(?:https?:)?//\S+', page) == []


@pytest.mark.parametrize("document", ["README.md", "docs/python.md"])
def test_the_python_of_a_document_runs_in_its_order(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a small model, and a video, where it names a trained one and one of the sample."""
    text = (ROOT / document).read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    named = re.findall(r'"([\w/]+\.(?:safetensors|avi|mp4))"', code)
    assert named
    for name in named:
        if name.endswith("safetensors"):
            write_model(tmp_path / name, classes=("alert", "drowsy"))
        else:
            write_video(tmp_path / name, frames=60)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
