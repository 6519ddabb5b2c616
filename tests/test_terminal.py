"""What a person sees who runs the commands by hand: real processes on a pseudo-terminal."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framemix.jobs.terminal import fitted
from framemix.text.markdown import Table
from tests.terminal import FRAMEMIX, Shown, assert_readable, on_terminal
from tests.tiny_model import write_model, write_video

TRACKED = """
import sys, time
from framemix.jobs.progress import track
for item in track(range(6), total=6, label=sys.argv[1]):
    time.sleep(0.05)
print("all done")
"""


def tracked(folder: Path, label: str = "resize videos", **how: object) -> Shown:
    return on_terminal([sys.executable, "-c", TRACKED, label], folder, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("env", [{}, {"TERM": "dumb"}, {"NO_COLOR": "1"}], ids=str)
def test_work_ends_in_one_line_with_count_and_time(
    columns: int, env: dict[str, str], tmp_path: Path
) -> None:
    shown = tracked(tmp_path, columns=columns, env=env)
    assert shown.code == 0
    assert_readable(shown, columns)
    work, done = shown.lines
    assert work.startswith("resize videos")
    assert "6/6" in work
    assert "took 0:00" in work
    assert done == "all done"
    if env:
        assert b"\x1b[3" not in shown.written  # no colour
    if "TERM" in env:
        assert b"\x1b" not in shown.written


def test_a_bar_shows_rate_and_time_left_while_work_continues(tmp_path: Path) -> None:
    shown = tracked(tmp_path)
    assert re.search(rb"[1-6]/6 \S+/s, 0:0\d left", shown.written)
    assert b"?25l" not in shown.written  # the cursor is never hidden: a kill cannot lose it


@pytest.mark.parametrize("label", ["windows of {0} {name}.mp4", "windows of [red]a[/b].mp4"])
def test_a_files_name_is_shown_as_it_is(label: str, tmp_path: Path) -> None:
    shown = tracked(tmp_path, label)
    assert shown.code == 0
    assert shown.lines[0].startswith(label)


@pytest.mark.parametrize("columns", [80, 40])
def test_a_long_name_leaves_room_for_the_count(columns: int, tmp_path: Path) -> None:
    shown = tracked(tmp_path, f"windows of {'very' * 30}.mp4", columns=columns)
    assert_readable(shown, columns)
    assert "6/6" in shown.lines[0]
    assert len(shown.lines) == 2


def test_what_is_printed_to_a_file_is_not_drawn_into_the_bar(tmp_path: Path) -> None:
    talking = TRACKED.replace("time.sleep(0.05)", "print(item)")
    command = f"{sys.executable} -c '{talking}' work > out"
    shown = on_terminal(["sh", "-c", command], tmp_path)
    assert shown.code == 0
    assert len(shown.lines) == 1
    assert (tmp_path / "out").read_text().split("\n")[:6] == [str(n) for n in range(6)]


def test_a_log_has_no_control_characters(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TRACKED, "resize videos"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, env=_forced_colours())
    assert done.stderr.startswith(b"resize videos: 6/6, ")
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"\r" not in done.stderr


def _forced_colours() -> dict[str, str]:
    return {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color"}


# Text that fits


WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)


@given(st.lists(WORDS, min_size=1), st.integers(40, 100))
def test_fitted_text_keeps_all_words_and_the_width(words: list[str], width: int) -> None:
    lines = fitted(" ".join(words), width).split("\n")
    assert " ".join(lines).split() == " ".join(words).split()
    assert all(len(line) <= width for line in lines if line.isascii())


def test_a_path_is_never_broken() -> None:
    path = "/data/" + "folder-of-videos/" * 8 + "a.mp4"
    assert path in fitted(f"error: {path}: is empty", 80)


def test_a_table_that_is_too_wide_becomes_lists_without_empty_cells() -> None:
    rows = ["| mode | by | val top-1, % |", "| --- | --- | --- |", "| all | paper A | 94.91 |"]
    table = "\n".join([*rows, "| fc | – | 94.58 |"])
    assert fitted(table, 80) == table
    assert fitted(table, 18).split("\n") == [
        "all",
        "  by: paper A",
        "  val top-1, %:",
        "    94.91",
        "fc",
        "  val top-1, %:",
        "    94.58",
    ]


@pytest.mark.parametrize("width", [80, 12])
def test_names_in_a_table_stand_as_they_are(width: int) -> None:
    names = ["Ba$$in", "_background", r"a\b", "a|b", "日本", "[x](y)", "*"]
    text = Table(["class", "clips"], [[name, "8"] for name in names]).markdown()
    shown = fitted(text, width)
    assert all(name in shown for name in names)
    assert "\\" not in shown.replace(r"a\b", "")


def test_commands_to_copy_stay_as_they_are() -> None:
    command = f"dvc exp run --queue -S {'x' * 30} -S {'y' * 50}"
    assert fitted(f"To run it:\n\n```sh\n{command}\n```\nThen look.", 40).split("\n") == [
        "To run it:",
        "",
        command,
        "Then look.",
    ]


# Commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of drowsiness, one of actions, and videos."""
    folder = tmp_path_factory.mktemp("commands")
    write_model(folder / "drivers.safetensors", classes=("alert", "low_vigilant", "drowsy"))
    for number in range(20):
        write_video(folder / f"videos/{number:02}.mp4", frames=30 if number else 200, seed=number)
    (folder / "clips.csv").write_text("path,label\nvideos/01.mp4,alert\nvideos/02.mp4,drowsy\n")
    (folder / "videos/damaged.mp4").write_bytes(b"RIFF1234AVI LIST")
    return folder


MODEL = "drivers.safetensors"
COMMANDS = {
    "predict one file": ["predict", MODEL, "videos/01.mp4"],
    "predict many": ["predict", MODEL, "videos/0*"],
    "predict windows": ["predict", MODEL, "videos/00.mp4", "--window", "1", "--step", "0.5"],
    "watch": ["watch", MODEL, "videos/00.mp4", "--window", "2", "--as-fast-as-possible"],
    "explain": ["explain", MODEL, "videos/01.mp4", "-o", "explained"],
    "bench live": ["bench", "live", MODEL],
    "calibrate": ["calibrate", MODEL, "clips.csv"],
    "help": ["watch", "--help"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_readable_on_a_terminal(name: str, folder: Path) -> None:
    shown = on_terminal([*FRAMEMIX, *COMMANDS[name]], folder)
    assert shown.code == 0, shown.text
    assert_readable(shown)
    assert shown.lines


@pytest.mark.parametrize(
    ("columns", "env"), [(40, {}), (40, {"NO_COLOR": "1"}), (80, {"TERM": "dumb"})], ids=str
)
def test_a_damaged_video_is_reported_and_the_rest_predicted_on_any_terminal(
    columns: int, env: dict[str, str], folder: Path
) -> None:
    command = [*FRAMEMIX, "predict", MODEL, "videos/1*.mp4", "videos/damaged.mp4"]
    shown = on_terminal(command, folder, columns=columns, env=env)
    assert shown.code == 1
    assert_readable(shown, columns)
    assert "videos 11/11" in " ".join(shown.lines[0].replace("━", "").split()) or env.get("TERM")
    assert "error: videos/damaged.mp4: " in " ".join(shown.text.split())
    assert shown.text.count("drowsy") == 10


def test_ctrl_c_ends_predicting_at_once(folder: Path) -> None:
    shown = on_terminal(
        [*FRAMEMIX, "predict", MODEL, "videos"],
        folder,
        ctrl_c_after=" 0/21",
    )
    assert shown.code == 130
    assert_readable(shown)


def test_ctrl_c_ends_watching_with_a_summary(folder: Path) -> None:
    shown = on_terminal(
        [*FRAMEMIX, "watch", MODEL, "videos/00.mp4", "--window", "1"],
        folder,
        ctrl_c_after=r"2\.0 s",
    )
    assert shown.code == 0
    assert_readable(shown)
    assert "skipped; latency" in shown.lines[-1]


def test_the_demo_starts_and_ends_with_ctrl_c(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    shown = on_terminal(
        [*FRAMEMIX, "demo", MODEL, "--port", "0", "--host", "0.0.0.0"],
        folder,
        env={"TMPDIR": str(tmp_path)},
        ctrl_c_after="network",
    )
    assert shown.code in (0, 130)
    assert_readable(shown)
    assert "warning: --host 0.0.0.0: anyone on the network can use the page" in shown.text
    assert list(tmp_path.iterdir()) == []
