"""What users may rely on when decoders misbehave: a reason for that file, nothing for others."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import psutil
import pytest

from framemix.datasets.clips import Clip
from framemix.errors import VideoError
from framemix.jobs.isolation import Limits, _Child, _receive, _send, isolated
from framemix.video.reading import stream_frames
from framemix.video.writing import video_writer
from tests.listing import count_frames, listed
from tests.misbehaviour import (
    break_after,
    core_size,
    dawdle,
    identity,
    misbehave,
    print_much,
    refuse,
    square,
    start_sleep,
)

LIMITS = Limits(seconds=1.5, memory_mb=256)
REASONS = {
    "hang": "decoding took more than 1.5 s (runtime.decode_timeout)",
    "segfault": "the decoder crashed (SIGSEGV)",
    "abort": "the decoder crashed (SIGABRT)",
    "exit": "the decoder crashed (exit code 3)",
    "hoard": "decoding needs more than 256 MB (runtime.decode_memory_mb)",
}
# Loaded by every Python process: PyAV opens files named after a misbehaviour by misbehaving.
SITECUSTOMIZE = """
import av
from tests.misbehaviour import misbehave

def open_(file, *args, open=av.open, **kwargs):
    misbehave(file)
    return open(file, *args, **kwargs)

av.open = open_
"""


@pytest.mark.parametrize("what", REASONS)
def test_each_misbehaviour_is_a_reason_that_names_the_file_and_the_next_is_served(what):
    with pytest.raises(VideoError) as caught:
        isolated(misbehave, Path(f"a/{what}.avi"), LIMITS)
    assert str(caught.value) == f"a/{what}.avi: {REASONS[what]}"
    assert isolated(misbehave, Path("good.avi"), LIMITS) == "good.avi"


@pytest.mark.parametrize("what", ["hang", "hoard"])
def test_a_limit_that_nobody_can_set_has_no_name(what):
    with pytest.raises(VideoError, match=r" more than (0\.5 s|128 MB)$"):
        isolated(misbehave, Path(f"{what}.avi"), Limits(0.5, 128, (None, None)))


def test_a_subprocess_of_other_limits_is_not_used_again():
    assert isolated(identity, Path("a.avi"), Limits(30, 256))
    with pytest.raises(VideoError, match=r"^b\.avi: decoding took more than 0\.5 s"):
        isolated(dawdle, Path("b.avi"), Limits(0.5, 256))


CONFINED = """
from pathlib import Path
from framemix.errors import FramemixError, VideoError
from framemix.jobs.isolation import Limits, isolated
from tests.misbehaviour import misbehave

for name in ("good", "hoard", "abort"):
    try:
        print(isolated(misbehave, Path(name), Limits(30, 100_000)))
    except FramemixError as error:
        print(type(error) is not VideoError, error)
"""


def confined(kilobytes: int) -> subprocess.CompletedProcess[str]:
    """Run what isolates in a shell that allows each process so much memory."""
    command = f"ulimit -v {kilobytes}; exec {sys.executable} -c '{CONFINED}'"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True)


def test_no_file_is_blamed_for_the_memory_that_a_shell_denies():
    good, hoard, abort = confined(4_000_000).stdout.splitlines()
    assert good == "good"
    assert re.match(r"True decoding needs more than the \d+ MB of memory that `ulimit -v`", hoard)
    assert re.match(r"True the decoder crashed \(SIGABRT\), maybe as `ulimit -v` leaves", abort)


@pytest.mark.parametrize("what", ["hang", "hoard"])
def test_what_breaks_a_limit_is_gone_when_the_error_is_raised(what):
    others = set(psutil.Process().children())
    with pytest.raises(VideoError, match="decoding "):
        isolated(misbehave, Path(f"{what}.avi"), Limits(0.5, 128))
    assert set(psutil.Process().children()) <= others


def test_a_decoder_that_crashes_fills_no_disk_with_its_memory():
    assert isolated(core_size, Path("a.avi"), LIMITS) == 0


def test_many_files_are_served_by_one_subprocess_of_the_thread():
    served = [isolated(identity, Path(str(i)), LIMITS) for i in range(20)]
    assert [name for name, _ in served] == [str(i) for i in range(20)]
    assert len({pid for _, pid in served} | {os.getpid()}) == 2


def test_an_error_of_the_work_is_raised_as_it_is_and_costs_no_new_subprocess():
    before = isolated(identity, Path("a"), LIMITS)[1]
    with pytest.raises(VideoError, match=r"^b\.avi: cannot be decoded: because$") as caught:
        isolated(refuse, Path("b.avi"), LIMITS)
    assert (caught.value.path, caught.value.reason) == (Path("b.avi"), "cannot be decoded: because")
    assert isolated(identity, Path("a"), LIMITS)[1] == before


def test_what_the_decoder_prints_is_neither_result_nor_output(capfd):
    assert isolated(print_much, Path("a.avi"), Limits(30, 256)) == "a.avi"
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("answered", [True, False])
def test_a_subprocess_whose_answer_nobody_reads_ends_without_a_word(answered, capfd):
    child = _Child(identity, LIMITS)
    assert _receive(child.channel)
    _send(child.channel, (identity if answered else dawdle, Path("a.avi")))
    if answered:
        assert select.select([child.channel], [], [], 30)[0]
    child.channel.close()
    assert child.process.wait(30) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_arrays_of_any_size_come_back_as_they_were(size):
    array = isolated(square, Path(str(size)), LIMITS)
    assert np.array_equal(array, np.full((3, size), 7, np.uint16))
    array += 1  # and are the caller's own


def test_a_file_is_not_blamed_for_the_damage_that_another_left():
    assert isolated(break_after, Path("damage"), LIMITS) == "damage"
    assert isolated(break_after, Path("innocent"), LIMITS) == "innocent"


@pytest.mark.parametrize("started", [True, False])
def test_after_an_interrupt_the_next_file_gets_its_own_result(started):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    limits = Limits(30 if started else 31, 256)  # of other limits, it first has to start
    before = isolated(identity, Path("warm"), Limits(30, 256))[1]
    handler = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            isolated(dawdle, Path("first.avi"), limits)
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert not psutil.pid_exists(before)
    for name in ("second.avi", "third.avi"):
        assert isolated(identity, Path(name), limits)[0] == name


def test_what_a_hanging_decoder_started_ends_with_it(tmp_path):
    with pytest.raises(VideoError, match=r"took more than 1\.5 s"):
        isolated(start_sleep, tmp_path / "pid", LIMITS)
    started = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while not has_ended(started):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def has_ended(pid: int) -> bool:
    """Whether there is no such process, or only what its parent has not looked at yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_hanging_decoder_dies_with_the_worker_that_is_killed(tmp_path):
    code = (
        "from pathlib import Path\n"
        "from framemix.jobs.isolation import *; import tests.misbehaviour as t\n"
        "isolated(t.misbehave, Path('hang'), Limits(60, 256))"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    deadline = time.monotonic() + 30
    while not (children := psutil.Process(worker.pid).children()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert psutil.wait_procs(children, timeout=5)[1] == []


def test_4k_is_decoded_within_the_memory_that_params_allow(tmp_path):
    video = tmp_path / "4k.mp4"
    command = (
        f"-f lavfi -i testsrc2=s=4096x2160:r=30 -frames:v 4 -c:v libx264 -preset ultrafast {video}"
    )
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-threads", "1"]
    subprocess.run([*ffmpeg, *command.split()], check=True)
    assert isolated(count_frames, video, Limits(60, 1024)) == 4
    assert isolated(first_mean, video, Limits(60, 1024)) > 0


def first_mean(path: Path) -> float:
    return float(next(stream_frames(path, size=(90, 160), fit="crop")).mean())


# Through the filter


def write_videos(root: Path, good: int, bad: list[str]) -> None:
    """Write good videos of 6 to 8 frames over three classes, and bad ones between them."""
    root.mkdir()
    for frames in (6, 7, 8):
        with video_writer(
            root / f"{frames}.avi", width=64, height=48, fps=25, codec="xvid"
        ) as write:
            for value in range(frames):
                write(np.full((48, 64, 3), 20 * value, np.uint8))
    names = [f"v_Good_g{i + 1:02}_c01.avi" for i in range(good)]
    names += [f"v_{what}_g{i + 1:02}_c02.avi" for i, what in enumerate(bad)]
    for i, name in enumerate(names):
        (root / "ABC"[i % 3]).mkdir(exist_ok=True)
        shutil.copy(root / f"{6 + i % 3}.avi", root / "ABC"[i % 3] / name)
    for frames in (6, 7, 8):
        (root / f"{frames}.avi").unlink()


def run(root: Path, scratch: Path, workers: int | None = None) -> dict[str, Clip]:
    rows = listed(root, scratch, min_frames=7, workers=workers, limits=LIMITS)
    return {row.video: row for row in rows}


@pytest.mark.parametrize(
    ("good", "bad"),
    [(6, list(REASONS)), pytest.param(40, list(REASONS) * 4, marks=pytest.mark.slow)],
)
def test_bad_files_are_rows_with_their_reason_and_good_rows_as_without_them(
    good, bad, tmp_path, monkeypatch
):
    write_videos(tmp_path / "clean", good, [])
    write_videos(tmp_path / "mixed", good, bad)
    expected = run(tmp_path / "clean", tmp_path / "scratch1")
    assert sum(row.kept for row in expected.values()) >= good // 2

    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    monkeypatch.syspath_prepend(tmp_path)
    start = time.monotonic()
    # New workers: the shared ones started before there was a sitecustomize.
    rows = run(tmp_path / "mixed", tmp_path / "scratch2", workers=2)
    assert time.monotonic() - start < 20 + 5 * len(bad)

    assert {name: row for name, row in rows.items() if "Good" in name} == expected
    rejected = {name: row for name, row in rows.items() if "Good" not in name}
    assert len(rejected) == len(bad)
    for name, row in rejected.items():
        assert (row.kept, row.reason) == (False, REASONS[name.split("_")[1]]), name
