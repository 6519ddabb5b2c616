"""Prints for people: lines fit the terminal's width; files and pipes get the text unchanged.

Output for programs (JSON, CSV) is printed elsewhere.
"""

import re
import sys
from collections.abc import Iterator
from itertools import groupby
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console

from framemix.text.names import printable

# Rows of a Markdown table, the separator of their cells, and the line below its head.
TABLE_ROW = re.compile(r"\|.*\|")
BETWEEN_CELLS = re.compile(r"(?<!\\)\|")
RULE = re.compile(r"\|[\s:|-]+\|")
# A letter of a name that Markdown would otherwise read as markup.
ESCAPED = re.compile(r"\\([\\`*<>&|~$\]_])")
HANGING = 2  # columns of additional indent where a line continues


class OpenConsole(Console):
    """A console that never hides the cursor: a killed process cannot show it again."""

    def show_cursor(self, show: bool = True) -> bool:
        """Leave the cursor as it is."""
        return False


def print_text(text: str, *, error: bool = False) -> None:
    """Print text to stdout, or to stderr; on a terminal its lines are broken to fit.

    A name that may contain line breaks must go through `printable` first.
    """
    stream = sys.stderr if error else sys.stdout
    text = "\n".join(printable(line) for line in text.split("\n"))
    # The terminal's encoding may lack some letters of a name.
    encoding = stream.encoding or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    if is_terminal(stream):
        text = fitted(text, Console(file=stream).width)
    print(text, file=stream, flush=True)


def print_error(error: str) -> None:
    """Print an error to stderr in one line, whatever it contains."""
    print_text(f"error: {printable(error)}", error=True)


def leave_line(stream: TextIO) -> None:
    """Begin a new line where the terminal has just shown ^C."""
    if is_terminal(stream):
        print(file=stream)


def is_terminal(stream: TextIO) -> bool:
    """Return whether the stream is a terminal."""
    return stream.isatty()


def can_draw(stream: TextIO) -> bool:
    """Return whether lines on the stream can be redrawn, as a progress bar needs."""
    return is_terminal(stream) and not Console(file=stream).is_dumb_terminal


def fitted(text: str, width: int) -> str:
    """Return Markdown or plain text with lines of at most `width` columns.

    Lines break between words; a word that is too long stays whole, for it may be a path to copy.
    A table that is too wide becomes one list per row, and names in tables stand without Markdown's
    backslashes. Blocks of code lose their fences and stay as they are otherwise.
    """
    lines: list[str] = []
    for is_code, block in _blocks(text):
        for is_table, part in groupby(block, lambda line: bool(TABLE_ROW.fullmatch(line))):
            rows = list(part)
            if is_code:
                lines += rows
            elif is_table:
                wide = max(map(cell_len, rows)) > width
                table = _listed(rows, width) if wide else rows
                lines += [ESCAPED.sub(r"\1", row) for row in table]
            else:
                lines += [short for line in rows for short in _wrapped(line, width)]
    return "\n".join(lines)


def _blocks(text: str) -> Iterator[tuple[bool, list[str]]]:
    """Yield the blocks of lines between code fences (```), and whether each block is code."""
    is_code = False
    for is_fence, lines in groupby(text.split("\n"), lambda line: line.startswith("```")):
        if is_fence:
            is_code ^= len(list(lines)) % 2 == 1
        else:
            yield is_code, list(lines)


def _listed(rows: list[str], width: int) -> list[str]:
    """Return one list per row: the first cell, then each other cell after its column's name.

    Cells without a value are left out.
    """
    cells = [[cell.strip() for cell in BETWEEN_CELLS.split(row)[1:-1]] for row in rows]
    (_, *names), *body = [
        row for row, line in zip(cells, rows, strict=True) if not RULE.match(line)
    ]
    lines = []
    for first, *values in body:
        pairs = [f"  {n}: {v}" for n, v in zip(names, values, strict=True) if v not in ("", "–")]
        lines += [short for line in (first, *pairs) for short in _wrapped(line, width)]
    return lines


def _wrapped(line: str, width: int) -> list[str]:
    """Return a line broken between words, with its continuation indented further."""
    hanging = " " * (len(line) - len(line.lstrip()) + HANGING)
    lines: list[str] = []
    for word in re.findall(r"\s*\S+", line):  # with the spaces in front
        if lines and cell_len(lines[-1] + word) <= width:
            lines[-1] += word
        else:
            lines.append(hanging + word.lstrip() if lines else word)
    return lines or [line]
