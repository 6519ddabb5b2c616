"""The demo page, in a real browser: a video is dropped, the result appears, nothing leaks."""

import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framemix.errors import FramemixError, ModelError
from framemix.inference.clips import USUAL_LIMITS, Sliding
from framemix.inference.demo import Analyser, serve
from framemix.inference.loading import load_classifier
from framemix.inference.prediction import predict_videos
from tests.browser import Visit, chromium, served
from tests.tiny_model import write_model, write_video
from tests.tiny_store import HEIGHT, SEGMENTS, WIDTH

CLASSES = ("alert", "drowsy")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_model(folder / "model.safetensors", classes=CLASSES)
    write_video(folder / "long.mp4", frames=80)
    write_video(folder / "offered.mp4", frames=30)
    (folder / "broken.mp4").write_bytes(b"no video at all")
    (folder / "notes.txt").write_text("text")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    pytest.importorskip("gradio", reason="the extra `demo` is not installed")
    arguments = (folder / "offered.mp4", "--window", 4)
    with served(folder, folder / "model.safetensors", *arguments) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = chromium()
    if executable is None:
        pytest.skip("no chromium here (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    visit = Visit(browser, address)
    yield visit
    visit.page.close()


def test_a_dropped_video_is_answered_with_classes_and_pictures(visit: Visit, folder: Path) -> None:
    visit.drop(folder / "long.mp4")
    visit.says("long.mp4")
    visit.says("5 windows")
    shown = visit.page.locator("#classes").inner_text()
    assert all(name in shown for name in CLASSES)
    assert len(set(visit.pictures())) == 3


def test_a_broken_file_gets_a_message_and_the_next_one_an_answer(
    visit: Visit, folder: Path
) -> None:
    visit.drop(folder / "broken.mp4")
    visit.says("This video cannot be used")
    message = visit.page.locator("#message").inner_text()
    assert "broken.mp4" in message
    assert str(folder) not in message
    visit.page.locator("#video").get_by_label("Remove this file").or_(
        visit.page.locator("#video").get_by_label("Clear")
    ).first.click()
    visit.drop(folder / "long.mp4")
    visit.says("5 windows")


def test_a_clip_can_be_clicked(visit: Visit) -> None:
    visit.page.get_by_role("button", name="offered.mp4").click()
    visit.says("offered.mp4")
    assert len(visit.pictures()) == 3


def test_neither_page_nor_server_asks_anything_of_another_place(
    visit: Visit, address: str, folder: Path
) -> None:
    visit.page.get_by_role("button", name="offered.mp4").click()
    visit.pictures()
    time.sleep(2)  # for what is fetched late
    outside = [url for url in visit.requests if not url.startswith((address, "data:", "blob:"))]
    assert outside == []
    policy = visit.page.request.get(address).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert not [text for text in visit.complaints if "Content Security Policy" in text]
    lines = (folder / "connections.txt").read_text().splitlines()
    assert not [line for line in lines if not re.search("127.0.0.1|localhost|::1|0.0.0.0", line)]


def test_another_kind_of_file_is_refused(visit: Visit, folder: Path) -> None:
    visit.drop(folder / "notes.txt")
    visit.page.get_by_text(re.compile("invalid file type", re.IGNORECASE)).first.wait_for(
        timeout=30_000
    )


def test_an_answer_names_no_folder_of_this_machine(folder: Path) -> None:
    message, *rest = Analyser(folder / "model.safetensors", 4.0)(folder / "broken.mp4")
    assert "broken.mp4" in message
    assert str(folder) not in message
    assert rest == [None] * 4


def test_the_answer_is_of_the_windows_that_predict_sees(tmp_path: Path) -> None:
    model, video = tmp_path / "model.safetensors", write_video(tmp_path / "a.mp4", 80, seed=2)
    write_model(model, classes=("alert", "drowsy", "low_vigilant"))
    message, shares, _, strip, _ = Analyser(model, 4.0)(video)
    how = (load_classifier(model, "cpu"), [video], Sliding(4.0, 1.0), USUAL_LIMITS)
    (result,) = predict_videos(*how)
    probabilities = np.stack([said.probabilities for said in result.predictions])
    assert set(probabilities.argmax(axis=1)) == {2}  # drowsiness is shown where it is not likeliest
    most = result.predictions[int(probabilities[:, 1].argmax())]
    stretch = f"{most.start:.1f} to {most.end:.1f} s"
    assert message == f"**a.mp4**, 5 windows; below, {stretch}, where drowsy is likeliest"
    assert shares == pytest.approx(
        dict(zip(("alert", "drowsy", "low_vigilant"), probabilities.mean(axis=0), strict=True))
    )
    assert strip.size == (SEGMENTS * WIDTH, HEIGHT)
    message, *_ = Analyser(model, 60.0)(video)  # longer than the video
    assert message.startswith("**a.mp4**, 1 window; below, 0.0 to 8.0 s, where drowsy is")


def test_a_video_that_is_too_long_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framemix.inference.demo.LONGEST_VIDEO", 5.0)
    message, *_ = Analyser(folder / "model.safetensors", 4.0)(folder / "long.mp4")
    assert "8 s long; allowed: at most 5 s" in message


def test_a_port_that_is_taken_is_told(folder: Path) -> None:
    pytest.importorskip("gradio", reason="the extra `demo` is not installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(FramemixError, match=f"--port {port}: the page cannot be served there"):
            serve(folder / "model.safetensors", [], host="127.0.0.1", port=port, window=5.0)


def test_without_the_extra_the_command_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ModelError, match=r"pip install 'framemix\[demo\]'"):
        serve(folder / "model.safetensors", [], host="127.0.0.1", port=0, window=5.0)
