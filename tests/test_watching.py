"""`framemix watch` for programs: what they may rely on over a night, whatever the source does."""

import csv
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner, Result

from framemix.cli import app
from framemix.errors import FramemixError, VideoError
from framemix.inference.alarm import Alarm
from framemix.inference.classifier import Classifier
from framemix.inference.clips import Sliding
from framemix.inference.listeners import live_listeners
from framemix.inference.live import LivePrediction, watch
from framemix.inference.log import appended
from framemix.video.live import is_endless, source_of
from tests.terminal import UNBROKEN, on_terminal
from tests.tiny_model import write_model, write_video
from tests.tiny_store import mix_settings

CLASSES = ("alert", "drowsy")
# The probability of the watched class in each second.
NIGHT = (0.1, 0.9, 0.8, 0.2, 0.1)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watching")
    write_model(folder / "model.safetensors", classes=CLASSES)
    write_video(folder / "a.avi", frames=45)
    return folder


def run(here: Path, *arguments: object, source: object = "a.avi") -> Result:
    command = ["watch", here / "model.safetensors", here / str(source), *arguments]
    return CliRunner().invoke(app, [*map(str, command)])


@pytest.fixture
def night(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source whose alarm starts in its second window and ends in its fourth."""

    def windows(*_: Any, **__: Any) -> Iterator[LivePrediction]:
        for second, p in enumerate(NIGHT, 5):
            probabilities = np.array([1 - p, p], np.float32)
            yield LivePrediction(second, probabilities, 0.02, skipped=0)

    monkeypatch.setattr("framemix.inference.live.watch", windows)


@contextmanager
def server(answer: Any) -> Iterator[str]:
    """Serve on this machine what `answer(handler)` does for each request; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def do_POST(self) -> None:
            answer(self)

        def log_message(self, *_: Any) -> None:
            """Keep the tests' output readable."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()


# JSON and the log


@pytest.mark.usefixtures("night")
def test_json_is_one_object_a_window_and_nothing_else_on_stdout(here: Path) -> None:
    done = run(here, "--json", "--half-life", 0)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["seconds"] for record in records] == [5, 6, 7, 8, 9]
    assert [record["alarm"] for record in records] == [False, True, True, False, False]
    assert records[1]["probabilities"] == pytest.approx({"alert": 0.1, "drowsy": 0.9})
    assert records[1]["smoothed"] == pytest.approx(0.9)
    assert (records[1]["latency_seconds"], records[1]["skipped"]) == (0.02, 0)
    assert all(record["time"].endswith("+00:00") for record in records)
    assert done.stderr.startswith("5 windows, 0 skipped")


def test_without_a_class_to_watch_for_the_alarm_is_null(here: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    arguments = ("--json", "--window", 2, "--as-fast-as-possible")
    done = run(tmp_path, *arguments, source=here / "a.avi")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(record["alarm"], record["smoothed"]) for record in records] == [(None, None)] * 3


@pytest.mark.usefixtures("night")
def test_a_log_gets_a_row_a_window_and_keeps_those_of_earlier_runs(
    here: Path, tmp_path: Path
) -> None:
    log = tmp_path / "night.csv"
    for _ in range(2):
        assert run(here, "--log", log, "--half-life", 0).exit_code == 0
    rows = list(csv.DictReader(log.read_text().splitlines()))
    assert [row["seconds"] for row in rows] == ["5", "6", "7", "8", "9"] * 2
    assert [row["alarm"] for row in rows[:5]] == ["0", "1", "1", "0", "0"]
    assert [float(row["p(drowsy)"]) for row in rows[5:]] == pytest.approx(NIGHT)


def test_a_row_is_on_the_disk_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with appended(tmp_path / "a.csv", ["a", "b"]) as append:
        assert (tmp_path / "a.csv").read_text() == "a,b\n"
        append([1, "=2"])
        assert (tmp_path / "a.csv").read_text() == "a,b\n1,'=2\n"


@pytest.mark.parametrize(
    ("left", "kept"),
    [("", ""), ("a,", ""), ("a,b\n", ""), ("a,b\n1,2\n", "1,2\n"), ("a,b\n1,2\n3", "1,2\n")],
)
def test_what_a_kill_left_of_a_row_does_not_spoil_the_next(
    left: str, kept: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(left)
    with appended(tmp_path / "a.csv", ["a", "b"]) as append:
        append([5, 6])
    assert (tmp_path / "a.csv").read_text() == f"a,b\n{kept}5,6\n"


def test_a_log_of_something_else_is_reported_and_left_as_it_is(here: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("clip,label\n")
    done = run(here, "--log", tmp_path / "a.csv")
    assert done.exit_code == 1
    assert str(done.exception).startswith(f"{tmp_path / 'a.csv'}: no log of these classes")
    assert (tmp_path / "a.csv").read_text() == "clip,label\n"


def test_two_that_append_to_one_log_are_reported(tmp_path: Path) -> None:
    with (
        appended(tmp_path / "a.csv", ["a"]),
        pytest.raises(FramemixError, match=r"a\.csv: another process writes it"),
        appended(tmp_path / "a.csv", ["a"]),
    ):
        pass


# Commands and webhooks


@pytest.mark.usefixtures("night")
def test_a_command_runs_once_at_the_alarms_start_and_once_at_its_end(
    here: Path, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    command = f'echo "$FRAMEMIX_ALARM $FRAMEMIX_CLASS $FRAMEMIX_SECONDS" >> {said}; cat'
    done = run(here, "--exec", command, "--half-life", 0)
    assert done.exit_code == 0
    assert said.read_text().splitlines() == ["on drowsy 6", "off drowsy 8"]
    assert "exec" not in done.stderr


@pytest.mark.usefixtures("night")
def test_a_command_that_fails_is_one_line_each_time_and_watching_stays(here: Path) -> None:
    done = run(here, "--exec", "exit 3", "--half-life", 0)
    assert done.exit_code == 0
    lines = [line for line in done.stderr.splitlines() if "--exec" in line]
    assert lines == ["--exec: alarm on: exit code 3", "--exec: alarm off: exit code 3"]
    assert len(done.stdout.splitlines()) == len(NIGHT) + 1


@pytest.mark.usefixtures("night")
def test_a_command_that_hangs_is_killed_and_never_waited_for_while_watching(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framemix.inference.messages.COMMAND_TIME", 0.2)
    begun = time.monotonic()
    done = run(here, "--exec", "sleep 60", "--half-life", 0)
    assert time.monotonic() - begun < 30
    lines = [line for line in done.stderr.splitlines() if "--exec" in line]
    assert lines[0] == "--exec: alarm on: took more than 0.2 s, and was killed"


@pytest.mark.usefixtures("night")
def test_a_webhook_gets_json_at_the_alarms_start_and_at_its_end(here: Path) -> None:
    bodies = []

    def take(request: BaseHTTPRequestHandler) -> None:
        assert request.headers["Content-Type"] == "application/json"
        bodies.append(json.loads(request.rfile.read(int(request.headers["Content-Length"]))))
        request.send_response(204)
        request.end_headers()

    with server(take) as url:
        done = run(here, "--webhook", f"{url}/hook?token=secret", "--half-life", 0)
    assert (done.exit_code, len(bodies)) == (0, 2)
    assert [(body["alarm"], body["seconds"]) for body in bodies] == [("on", 6), ("off", 8)]
    assert {body["class"] for body in bodies} == {"drowsy"}
    assert bodies[0]["smoothed"] == pytest.approx(0.9)


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize("status", [500, 302])
def test_a_webhook_that_refuses_is_one_line_without_its_secret(status: int, here: Path) -> None:
    def refuse(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Location", "/elsewhere")
        request.end_headers()

    with server(refuse) as url:
        done = run(here, "--webhook", f"{url}/secret", "--half-life", 0)
    assert done.exit_code == 0
    lines = [line for line in done.stderr.splitlines() if "webhook" in line]
    assert [line.partition(f": HTTP {status} ")[0] for line in lines] == [
        f"--webhook {url}: alarm on",
        f"--webhook {url}: alarm off",
    ]


@pytest.mark.usefixtures("night")
def test_a_webhook_that_is_not_there_is_one_line(here: Path) -> None:
    done = run(here, "--webhook", "http://127.0.0.1:9/x", "--half-life", 0)
    assert done.exit_code == 0
    assert "--webhook http://127.0.0.1:9: alarm on: [Errno 111] Connection refused" in done.stderr


@pytest.mark.parametrize(
    "url",
    ["host/x", "ftp://host/x", "http://", "http://a:b@host/x", "http://host:0x/", "http://h/ö", ""],
)
def test_a_bad_url_is_one_line_before_the_model_is_read(url: str, tmp_path: Path) -> None:
    done = run(tmp_path, "--webhook", url)  # there is no model
    assert done.exit_code == 1
    assert str(done.exception).startswith(f"--webhook {url}: allowed: http://HOST/PATH")


@pytest.mark.parametrize("options", [("--exec", "true"), ("--webhook", "http://host/")])
def test_an_alarm_of_no_class_is_refused(
    options: tuple[str, str], here: Path, tmp_path: Path
) -> None:
    write_model(tmp_path / "model.safetensors")
    done = run(tmp_path, *options, source=here / "a.avi")
    assert done.exit_code == 1
    assert "no class to watch for; allowed with --alarm CLASS, one of" in str(done.exception)


# Sources


def test_a_number_is_a_camera_where_no_file_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert source_of("0") == "/dev/video0"
    assert source_of("rtsp://camera/0") == "rtsp://camera/0"
    (tmp_path / "0").touch()
    assert source_of("0") == "0"


def test_the_end_of_a_pipe_is_the_end(here: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    content = (here / "a.avi").read_bytes()
    Thread(target=(tmp_path / "pipe").write_bytes, args=(content,)).start()
    source = str(tmp_path / "pipe")
    seen = list(watch(undecided(), source, Sliding(2.0, 0.5), as_fast_as_possible=True))
    assert [one.seconds for one in seen] == pytest.approx([2.0, 2.5, 3.0, 3.5, 4.0, 4.5])


@pytest.mark.parametrize(
    ("source", "endless"),
    [
        ("/dev/video0", True),
        ("rtsp://camera/0", True),
        ("HTTP://camera/a.mp4", True),
        ("file:///data/a.mp4", False),
        ("pipe:0", False),
        ("a.mp4", False),
    ],
)
def test_only_cameras_and_addresses_are_opened_again(source: str, endless: bool) -> None:
    assert is_endless(source) == endless


def sent(video: Path) -> Any:
    """Return an answer that sends a video from its start, each time."""

    def send(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(video.stat().st_size))
        request.end_headers()
        request.wfile.write(video.read_bytes())

    return send


def undecided(**mix: Any) -> Classifier:
    """A model that finds both classes as likely, always."""
    answer = np.array([[0.5, 0.5]], np.float32)
    return Classifier("undecided", [*CLASSES], mix_settings(**mix), lambda clips: answer)


def test_a_stream_that_ends_is_opened_again_and_its_seconds_rise(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("framemix.inference.live.FIRST_PAUSE", 0.1)
    with server(sent(here / "a.avi")) as url:
        source = f"{url}/a.avi"
        secret = source.replace("//", "//someone:secret@")
        seen = watch(undecided(), secret, Sliding(2.0, 0.5), as_fast_as_possible=True)
        seconds = [one.seconds for _, one in zip(range(14), seen, strict=False)]
        seen.close()  # type: ignore[attr-defined]
    assert seconds[:6] == pytest.approx([2.0, 2.5, 3.0, 3.5, 4.0, 4.5])
    assert all(gap > 0 for gap in np.diff(seconds))
    assert seconds[6] - seconds[5] >= 2.0  # no window has frames of both
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == f"{source}: ended; opening it again in 0.1 s"


def test_an_address_that_cannot_be_opened_is_reported_without_its_password() -> None:
    source = "http://someone:secret@127.0.0.1:9/a.avi"
    seen = watch(undecided(), source, Sliding(2.0, 0.5), as_fast_as_possible=True)
    with pytest.raises(VideoError) as caught:
        list(seen)
    assert str(caught.value).startswith("http://127.0.0.1:9/a.avi: ")
    assert "secret" not in str(caught.value)


def test_pauses_grow_while_a_dropped_stream_stays_away(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("framemix.inference.live.FIRST_PAUSE", 0.05)
    monkeypatch.setattr("framemix.inference.live.LONGEST_PAUSE", 0.2)
    calls = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        calls.append(request)
        if len(calls) in (1, 6):
            sent(here / "a.avi")(request)
        else:
            request.send_error(503)

    with server(answer) as url:
        how: dict[str, Any] = {"as_fast_as_possible": True}
        seen = watch(undecided(), f"{url}/a.avi", Sliding(4.0, 1.0), **how)
        assert len([one for _, one in zip(range(2), seen, strict=False)]) == 2
        seen.close()  # type: ignore[attr-defined]
    pauses = [line.rpartition(" in ")[2] for line in capfd.readouterr().err.splitlines()]
    assert pauses[:5] == ["0.05 s", "0.1 s", "0.2 s", "0.2 s", "0.2 s"]


def test_ctrl_c_ends_it_in_a_pause_too(here: Path) -> None:
    code = (
        "import framemix.inference.live as live; live.FIRST_PAUSE = 600.0;"
        "from framemix.cli import main; main()"
    )
    with server(sent(here / "a.avi")) as url:
        watched = ["watch", str(here / "model.safetensors"), f"{url}/a.avi", "--window", "2"]
        shown = on_terminal(
            [sys.executable, "-c", code, *watched],
            here,
            columns=UNBROKEN,
            ctrl_c_after=r"(?s)(?=.*opening it again in 600 s).* 2\.0 s",  # in either order
        )
    assert shown.code == 0
    assert "skipped; latency" in shown.lines[-1]


def test_memory_does_not_grow_with_the_windows(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", frames=420)
    alarm, process, taken = Alarm(0.7, 0.4, 2.0), psutil.Process(), []
    how: dict[str, Any] = {"as_json": True, "log": tmp_path / "a.csv", "senders": {}}
    large = undecided(size=(64, 96))
    seen = watch(large, str(video), Sliding(2.0, 0.1), as_fast_as_possible=True)
    with live_listeners(CLASSES, "drowsy", "a.mp4", **how) as listeners:
        for number, one in enumerate(seen, 1):
            alarm.update(float(one.probabilities[1]), one.seconds)
            for listen in listeners:
                listen(one, alarm)
            if number in (100, 400):
                taken.append(process.memory_info().rss)
    assert taken[1] - taken[0] < 4 * 2**20  # 300 mixed clips would be 21 MB
