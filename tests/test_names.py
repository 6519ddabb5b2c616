"""What users may rely on whatever strangers call files and classes: text stays in its place."""

import csv
import sys
import unicodedata
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from framemix import cli
from framemix.text.markdown import Table
from framemix.text.names import literal, printable
from tests.terminal import on_terminal
from tests.test_terminal import TRACKED
from tests.tiny_model import write_model, write_video

CLEARS_SCREEN, TWO_LINES = "a\x1b[2Jb", "two\nlines"
WILD = ("Ba$$in", "_background_", "*all*", "<b>", "&amp;", "a|b", "`x`", "[a](b)", "~~x~~", "\\|")


@given(st.text(st.characters()))
def test_a_name_is_one_line_that_commands_no_terminal(name: str) -> None:
    shown = printable(name)
    assert len(shown.splitlines()) <= 1
    assert {unicodedata.category(c) for c in shown}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})
    assert shown.isascii() or shown.encode()
    assert printable(shown) == shown


@pytest.mark.parametrize("name", ["Jump_Rope", "süß", "日本", "a b", "C:\\x", "ab\u200dc"])
def test_a_name_that_can_be_printed_stays_as_it_is(name: str) -> None:
    assert printable(name) == name


def test_escapes_are_those_of_python() -> None:
    assert printable("\x1b \n \r \x9b \u202e \udcff") == r"\x1b \n \r \x9b \u202e \xff"


class Cells(HTMLParser):
    """The text of each cell of a page's tables."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("table", "thead", "tbody", "tr", "th", "td"), tag
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_data(self, text: str) -> None:
        if self.cells:
            self.cells[-1] += text.strip("\n")


def test_a_table_in_markdown_shows_names_as_they_are() -> None:
    rows = [[name, "1.0"] for name in (*WILD, "Jump_Rope", TWO_LINES)]
    text = Table(["class", "top-1, %"], rows).markdown()
    page = MarkdownIt("commonmark").enable("table").render(text)
    shown = [cell for row in rows for cell in (printable(row[0]), row[1])]
    assert Cells(page).cells == ["class", "top-1, %", *shown]
    assert "| Jump_Rope | 1.0 |" in text  # as it was, where that is harmless


@pytest.mark.parametrize("name", WILD)
def test_a_name_in_a_line_of_markdown_is_no_markup(name: str) -> None:
    page = MarkdownIt("commonmark").render(f"Without: {literal(name)}, {literal(name)}.")
    assert page.count("<") == 2  # a paragraph's alone


# Commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    write_model(folder / "model.safetensors", classes=(CLEARS_SCREEN, TWO_LINES, "=1+1"))
    write_video(folder / "plain.mp4", frames=20)
    for name in (CLEARS_SCREEN, TWO_LINES, "=1+1"):
        (folder / f"{name}.mp4").write_bytes((folder / "plain.mp4").read_bytes())
    return folder


def said(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(cli.app, [*arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_predict_has_a_line_a_video_and_one_a_prediction(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = [f"{name}.mp4" for name in (CLEARS_SCREEN, TWO_LINES)]
    first, shares, second, _ = said(
        folder, monkeypatch, "predict", "model.safetensors", *videos
    ).splitlines()
    assert (first, second) == (r"a\x1b[2Jb.mp4", r"two\nlines.mp4")
    assert all(name in shares for name in (r"a\x1b[2Jb ", r"two\nlines ", "=1+1 "))


def test_watch_has_a_line_a_window(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = ("--window", "1.9", "--step", "1", "--as-fast-as-possible")
    first, summary = said(
        folder, monkeypatch, "watch", "model.safetensors", "plain.mp4", *how
    ).splitlines()
    assert all(name in first for name in (r"a\x1b[2Jb ", r"two\nlines ", "=1+1 "))
    assert summary.startswith("1 windows")


def test_csv_for_other_programs_has_names_as_they_are_and_nothing_that_a_spreadsheet_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = [f"{name}.mp4" for name in (TWO_LINES, "=1+1")]
    text = said(folder, monkeypatch, "predict", "model.safetensors", *videos, "--csv")
    rows = list(csv.DictReader(StringIO(text, newline="")))
    assert [row["video"] for row in rows] == [f"{TWO_LINES}.mp4"] * 3 + ["'=1+1.mp4"] * 3
    assert {row["class"] for row in rows} == {CLEARS_SCREEN, TWO_LINES, "'=1+1"}


@pytest.mark.parametrize("arguments", [["predict"], ["explain"], ["watch"], ["export"]])
def test_an_error_is_one_line_whatever_a_file_is_called(
    arguments: list[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    named = [*arguments, "model.safetensors", f"no {CLEARS_SCREEN} {TWO_LINES}.mp4"]
    monkeypatch.setattr(sys, "argv", ["framemix", *named])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(r"error: no a\x1b[2Jb two\nlines.mp4: ")


def test_a_bar_is_one_line_whatever_a_file_is_called(tmp_path: Path) -> None:
    label = f"windows of {CLEARS_SCREEN} {TWO_LINES}.mp4"
    how: dict[str, Any] = {"columns": 120}
    shown = on_terminal([sys.executable, "-c", TRACKED, label], tmp_path, **how)
    assert shown.lines[0].startswith(r"windows of a\x1b[2Jb two\nlines.mp4")
    assert len(shown.lines) == 2


def test_letters_that_a_terminal_lacks_are_written_as_escapes(tmp_path: Path) -> None:
    code = "from framemix.jobs.terminal import print_text; print_text('süß 日本')"
    shown = on_terminal([sys.executable, "-c", code], tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert (shown.code, shown.lines) == (0, [r"s\xfc\xdf \u65e5\u672c"])
