"""The demo page, in a real browser: a video is dropped, the result appears, nothing leaks."""

import asyncio
import json
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from secrets import token_hex
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from framemix.datasets.sample.faces import FaceVideo
from framemix.errors import FramemixError, ModelError
from framemix.inference.analyser import Analyser, Shown
from framemix.inference.clips import USUAL_LIMITS, Sliding
from framemix.inference.demo import serve
from framemix.inference.guard import Guard, delete_older, is_open
from framemix.inference.loading import load_classifier
from framemix.inference.prediction import predict_videos
from framemix.models.extras import load_extra
from tests.browser import Visit, launched, served
from tests.tiny_model import write_model, write_video
from tests.tiny_store import HEIGHT, SEGMENTS, WIDTH

CLASSES = ("alert", "drowsy")
# Chromium then has a camera that shows a test picture, and asks nobody whether it may be used.
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_model(folder / "model.safetensors", classes=CLASSES)
    write_video(folder / "long.mp4", frames=80)
    write_video(folder / "offered.mp4", frames=30)
    (folder / "broken.mp4").write_bytes(b"no video at all")
    (folder / "notes.txt").write_text("text")
    return folder


class Elsewhere:
    """Another place: a server that counts who connects to it."""

    def __init__(self) -> None:
        self.visits = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            visitor, _ = self.socket.accept()
            self.visits += 1
            visitor.close()


@pytest.fixture(scope="module")
def elsewhere() -> Elsewhere:
    return Elsewhere()


@pytest.fixture(scope="module")
def address(folder: Path, elsewhere: Elsewhere) -> Iterator[str]:
    """The demo, where proxies are set, after another one that was killed."""
    pytest.importorskip("gradio", reason="the extra `demo` is not installed")
    dead = folder / "tmp/framemix-demo-dead"
    (dead / "uploads").mkdir(parents=True)
    (dead / ".lock").touch()
    (dead / "uploads/face.mp4").write_bytes(b"someone")
    proxies = {f"{kind}_proxy": elsewhere.address for kind in ("http", "https")}
    proxies["all_proxy"] = "socks5://127.0.0.1:9"
    arguments = (folder / "offered.mp4", "--window", 4)
    with served(folder, folder / "model.safetensors", *arguments, **proxies) as address:
        yield address
    assert list((folder / "tmp").iterdir()) == []  # neither uploads nor pictures


@pytest.fixture(scope="module")
def context(address: str) -> Iterator[Any]:
    """What pages of one person share: each asks for the page's files, the first one gets them."""
    with launched(*CAMERA) as browser:
        yield browser.new_context()


@pytest.fixture(scope="module")
def visit(context: Any, address: str) -> Visit:
    """A page for tests that wait for what only they make it say."""
    return Visit(context, address)


@pytest.fixture(scope="module")
def dropped(context: Any, address: str, folder: Path) -> Visit:
    """A page on a phone, on which a video was dropped."""
    visit = Visit(context, address, width=420)
    visit.drop(folder / "long.mp4")
    return visit


@pytest.fixture(scope="module")
def clicked(context: Any, address: str, folder: Path) -> tuple[Visit, int]:
    """A page on which a clip was clicked, and how many connections the server had made before."""
    visit = Visit(context, address)
    before = len(connections(folder))
    visit.page.get_by_role("button", name="offered.mp4").click()
    visit.says("offered.mp4")
    return visit, before


def connections(folder: Path) -> list[str]:
    return (folder / "connections.txt").read_text().splitlines()


def answered(model: Path, video: Path, window: float = 4.0) -> Shown:
    """What the page shows of a video in the end."""
    with tempfile.TemporaryDirectory() as films:
        *_, last = Analyser(model, window, Path(films)).predictions(video)
        return last


def test_a_dropped_video_is_shown_with_classes_and_pictures(dropped: Visit) -> None:
    dropped.says("long.mp4")
    dropped.says("5 windows")
    shown = dropped.page.locator("#classes").inner_text()
    assert all(name in shown for name in CLASSES)
    assert len(set(dropped.pictures())) == 3


def test_the_page_names_the_model_its_classes_and_what_it_was_trained_on(visit: Visit) -> None:
    text = visit.page.locator("#model").inner_text()
    for words in ("model.safetensors", *CLASSES, "rained on"):
        assert words in text


def test_the_video_plays_with_its_classes_on_it(dropped: Visit) -> None:
    player = dropped.page.locator("#player video")
    player.wait_for(timeout=60_000)
    dropped.page.wait_for_function(
        "() => document.querySelector('#player video').duration > 1", timeout=30_000
    )


def test_on_a_phone_the_page_fits_and_wide_pictures_scroll(dropped: Visit) -> None:
    dropped.pictures()
    assert dropped.page.evaluate("document.documentElement.scrollWidth") <= 420
    for name in ("timeline", "attention"):
        seen, inside = dropped.page.locator(f"#{name} .image-frame").evaluate(
            "box => [box.clientWidth, box.scrollWidth]"
        )
        assert inside > seen


def test_a_recording_that_was_not_uploaded_is_not_read(folder: Path, tmp_path: Path) -> None:
    model, films = folder / "model.safetensors", tmp_path / "films"
    films.mkdir()
    *_, last = Analyser(model, 4.0, films).recorded({"path": str(folder / "long.mp4")})
    assert last == ("", None, None, None, None, None)


def test_a_video_of_the_webcam_is_predicted(visit: Visit) -> None:
    visit.page.get_by_role("tab", name="Webcam").click()
    camera = visit.page.locator("#webcam")
    camera.get_by_text("Access Webcam").click()
    record = camera.get_by_role("button", name="recording")
    record.click()
    visit.page.wait_for_timeout(3000)
    record.click()
    visit.says("sample.webm")


def test_a_broken_file_gets_a_message_and_the_next_one_a_prediction(
    visit: Visit, folder: Path
) -> None:
    visit.page.get_by_role("tab", name="File").click()
    visit.drop(folder / "long.mp4")
    visit.remove_file()  # while it is predicted: the next file counts all the same
    visit.drop(folder / "broken.mp4")
    visit.says("This video cannot be used")
    message = visit.page.locator("#message").inner_text()
    assert "broken.mp4" in message
    assert str(folder) not in message
    visit.remove_file()
    visit.drop(folder / "long.mp4")
    visit.says("5 windows")


def test_a_clip_can_be_clicked(clicked: tuple[Visit, int]) -> None:
    visit, _ = clicked
    assert len(visit.pictures()) == 3


def test_neither_page_nor_server_asks_anything_of_another_place(
    clicked: tuple[Visit, int], address: str, folder: Path, elsewhere: Elsewhere
) -> None:
    visit, before = clicked
    visit.pictures()
    time.sleep(2)  # for what is fetched late
    outside = [url for url in visit.requests if not url.startswith((address, "data:", "blob:"))]
    assert outside == []
    policy = visit.page.request.get(address).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert not [text for text in visit.complaints if "Content Security Policy" in text]
    lines = connections(folder)[before:]
    assert not [line for line in lines if not re.search("127.0.0.1|localhost|::1|0.0.0.0", line)]
    assert elsewhere.visits == 0


def test_another_kind_of_file_is_refused(clicked: tuple[Visit, int], folder: Path) -> None:
    visit, _ = clicked
    visit.drop(folder / "notes.txt")
    visit.page.get_by_text(re.compile("invalid file type", re.IGNORECASE)).first.wait_for(
        timeout=30_000
    )


# What others send


def ask(
    address: str, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=60)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, given)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(errors="replace")


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:1", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:7860", 403),
        ("192.168.0.1", 403),
        ("[", 403),
        ("", 403),
    ],
)
def test_a_page_is_answered_under_its_own_name_alone(address: str, name: str, status: int) -> None:
    assert ask(address, "GET", "/", Host=name)[0] == status


def test_a_form_of_another_site_is_refused(address: str) -> None:
    for origin in ("http://evil.example", "null"):
        status, reason = ask(address, "POST", "/gradio_api/upload", b"", Origin=origin)
        assert status == 403
        assert reason.startswith("Origin: ")
    assert ask(address, "GET", "/", Origin="http://localhost:1")[0] == 200


def answer_to(address: str, file: dict[str, Any]) -> str:
    """Return what the server says, as it says it, to a file that the page has uploaded."""
    return answers_to(address, ("upload", [file]))


def answers_to(address: str, *asked: tuple[str, list[Any]]) -> str:
    """Return what the server says to a page's events, each with its data, of which none waits."""
    config = json.loads(ask(address, "GET", "/config")[1])
    ids = {one["targets"][0][1]: one["id"] for one in config["dependencies"]}
    session = token_hex(4)
    kind = {"Content_Type": "application/json"}
    for event, data in asked:
        call = {"data": data, "fn_index": ids[event], "session_hash": session}
        body = json.dumps(call).encode()
        assert ask(address, "POST", "/gradio_api/queue/join", body, **kind)[0] == 200
    said = ask(address, "GET", f"/gradio_api/queue/data?session_hash={session}")[1]
    return re.sub(r'(":) ', r"\1", said)


def uploaded(address: str, content: bytes) -> Path:
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
    kind = {"Content_Type": "multipart/form-data; boundary=x"}
    body = part + content + b"\r\n--x--\r\n"
    status, answer = ask(address, "POST", "/gradio_api/upload", body, **kind)
    assert status == 200
    return Path(*json.loads(answer))


def test_an_uploaded_video_is_shown_with_pictures_that_lie_beside_it(
    address: str, folder: Path
) -> None:
    path = uploaded(address, (folder / "long.mp4").read_bytes())
    said = answer_to(address, {"path": str(path), "meta": {"_type": "gradio.FileData"}})
    assert '"success":true' in said
    assert "**a.mp4**, 5 windows" in said
    pictures = set(re.findall(r'"path":"([^"]+\.png)"', said))
    assert len(pictures) == 3
    for picture in pictures:
        assert Path(picture).is_relative_to(path.parents[1])
        assert ask(address, "GET", f"/gradio_api/file={picture}")[0] == 200


def test_the_answer_to_the_file_that_came_last_stays(address: str) -> None:
    path = uploaded(address, b"no video at all")
    file = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
    said = answers_to(address, ("click", []), ("upload", [file]))
    assert said.rindex("offered.mp4") < said.index("This video cannot be used")


@pytest.mark.parametrize("key", ["path", "url"])
def test_a_url_in_place_of_a_file_is_not_fetched(
    address: str, elsewhere: Elsewhere, key: str
) -> None:
    for url in (f"{elsewhere.address}/a.mp4", "http://example.com/a.mp4"):
        file = {"path": "a.mp4", "meta": {"_type": "gradio.FileData"}, key: url}
        assert '"success":false' in answer_to(address, file)
        assert ask(address, "GET", f"/gradio_api/file={url}")[0] != 200
    assert elsewhere.visits == 0


def test_uploads_lie_where_nobody_else_looks(address: str, folder: Path) -> None:
    file = uploaded(address, b"someone else")
    assert file.read_bytes() == b"someone else"
    (private,) = (folder / "tmp").iterdir()  # that of the killed demo is gone
    assert private in file.parents
    assert private.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("path", "headers", "status", "reason"),
    [
        ("upload", {"Content_Length": "999000000"}, 413, "953 MB; allowed: at most 201 MB"),
        ("upload", {"Transfer_Encoding": "chunked"}, 411, "allowed: one with Content-Length"),
        ("queue/join", {"Content_Length": "9000000"}, 413, "9 MB; allowed: at most 1 MB"),
    ],
)
def test_what_is_too_large_is_refused_before_it_comes(
    address: str, path: str, headers: dict[str, str], status: int, reason: str
) -> None:
    answer = ask(address, "POST", f"/gradio_api/{path}", None, **headers)
    assert answer == (status, answer[1])
    assert reason in answer[1]


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        (tmp_path / scope["path"].strip("/").replace("/", "-")).write_bytes(bytes(60))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    return Guard(app, host="0.0.0.0", folder=tmp_path)


def status_of(guard: Guard, host: str = "localhost", length: int = 60) -> int:
    headers = [(b"host", host.encode()), (b"content-length", b"%d" % length)]
    scope = {"type": "http", "path": "/upload", "headers": headers}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    # Elsewhere than here: an open browser keeps an event loop in this thread.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, guard(scope, None, send)).result()
    status: int = sent[0]["status"]
    return status


def test_all_uploads_together_have_a_limit(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framemix.inference.guard.MOST_UPLOADS", 100)
    assert [status_of(guard), status_of(guard)] == [200, 413]
    delete_older(tmp_path, 60)
    assert status_of(guard) == 413
    delete_older(tmp_path, -1)  # those of a second to come
    assert status_of(guard) == 200


def test_a_page_for_the_network_is_answered_under_addresses_and_the_machines_name(
    guard: Guard,
) -> None:
    own = socket.gethostname().lower()
    assert {status_of(guard, host) for host in ("192.168.0.1:80", "[fe80::1]", own)} == {200}
    assert status_of(guard, "evil.example") == 403


@pytest.mark.parametrize(
    ("host", "expected"),
    [("0.0.0.0", True), ("::", True), ("192.168.0.1", True), ("box.lan", True)]
    + [(host, False) for host in ("127.0.0.1", "::1", "localhost", "127.1.2.3")],
)
def test_an_address_that_others_can_reach_is_distinguished_from_this_machines(
    host: str, expected: bool
) -> None:
    assert is_open(host) == expected


def test_a_prediction_names_no_folder_of_this_machine(folder: Path) -> None:
    message, *rest = answered(folder / "model.safetensors", folder / "broken.mp4")
    assert "broken.mp4" in message
    assert str(folder) not in message
    assert rest == [None] * 5


def test_the_prediction_is_of_the_windows_that_predict_sees(tmp_path: Path) -> None:
    model, video = tmp_path / "model.safetensors", write_video(tmp_path / "a.mp4", 80, seed=2)
    write_model(model, classes=("alert", "drowsy", "low_vigilant"))
    message, shares, _, _, mixed, _ = answered(model, video)
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
    assert mixed.size == (SEGMENTS * WIDTH, HEIGHT)  # four on a row
    message, *_ = answered(model, video, window=60.0)  # longer than the video
    assert message.startswith("**a.mp4**, 1 window; below, 0.0 to 8.0 s, where drowsy is")


def test_a_video_that_is_too_long_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framemix.inference.analyser.LONGEST_VIDEO", 5.0)
    message, *_ = answered(folder / "model.safetensors", folder / "long.mp4")
    assert "8 s long; allowed: at most 5 s" in message


def test_a_port_that_is_taken_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio", reason="the extra `demo` is not installed")
    shorter = "framemix.inference.demo.FaceVideo"  # drivers are rendered, as no clip is given
    monkeypatch.setattr(shorter, lambda **how: FaceVideo(**how | {"seconds": 1.0}))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(FramemixError, match=f"--port {port}: the page cannot be served there"):
            serve(folder / "model.safetensors", [], host="127.0.0.1", port=port, window=5.0)


@pytest.mark.parametrize("package", ["gradio", "onnxruntime"])
def test_a_package_that_is_there_but_broken_is_not_called_missing(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{package}.py").write_text("import socksio_that_is_not_here")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package, raising=False)
    with pytest.raises(ModelError, match=f"{package} cannot be loaded: No module named") as caught:
        load_extra(package, extra="demo", what="demo")
    assert "not installed" not in str(caught.value)


def test_without_the_extra_the_command_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ModelError, match=r"pip install '\.\[demo\]'"):
        serve(folder / "model.safetensors", [], host="127.0.0.1", port=0, window=5.0)
