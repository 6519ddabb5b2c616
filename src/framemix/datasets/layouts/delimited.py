"""Reads lists that people and programs write: with commas, semicolons or tabs, maybe with a BOM."""

import codecs
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from math import isfinite
from pathlib import Path

from framemix.datasets.layouts.layout import SUBSETS
from framemix.errors import DatasetError

DELIMITERS = ",;\t|"
LONGEST = 2**16  # bytes of a first line

# The columns of a list, each with the names that it may have, in any letter case.
Columns = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Line:
    """A line of a list: its place ("list.csv:7"), and its cells by column, without outer spaces.

    The cell of a missing column is empty.
    """

    where: str
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")

    def needed(self, column: str) -> str:
        """Return a cell. Raises DatasetError where it is empty."""
        if not self[column]:
            raise DatasetError(f"{self.where}: {column} is empty; allowed: a value in each line")
        return self[column]

    def subset(self) -> str:
        """Return the side that the cell `subset` names. Raises DatasetError."""
        if not (word := self["subset"]):
            return ""
        if word.lower() not in SUBSETS:
            raise DatasetError(
                f"{self.where}: subset = {word!r}: allowed: {', '.join(SUBSETS)}, or nothing"
            )
        return SUBSETS[word.lower()]

    def seconds(self, column: str) -> float | None:
        """Return the seconds in a cell, None for an empty cell. Raises DatasetError."""
        if not (text := self[column]):
            return None
        try:
            seconds = float(text.replace(",", "."))
        except ValueError:
            seconds = -1.0
        if seconds < 0 or not isfinite(seconds):
            raise DatasetError(f"{self.where}: {column} = {text!r}: allowed: seconds, 0 or more")
        return seconds


def has_columns(path: Path, columns: Columns, *needed: str) -> bool:
    """Return whether the first line of a file names the columns that are `needed`."""
    try:
        header = next(_records(path, first_line(path), columns), (1, []))[1]
        return {*needed} <= {*_columns(path, header, columns)}
    except DatasetError:
        return False


def first_line(path: Path) -> str:
    """Return the first line that is not empty, of a file of any kind."""
    try:
        with path.open("rb") as file:
            start = file.read(LONGEST)
    except OSError:
        return ""
    return _decoded(start, errors="replace").lstrip().partition("\n")[0].partition("\r")[0]


def read_lines(path: Path, columns: Columns, *needed: str) -> Iterator[Line]:
    """Yield the lines of a list that has a header.

    Raises DatasetError, which names file and line, where a `needed` column is missing or a line
    cannot be read.
    """
    records = _records(path, read_text(path), columns)
    number, header = next(records, (1, []))
    places = _columns(path, header, columns)
    if missing := [column for column in needed if column not in places]:
        raise DatasetError(
            f"{path}:{number}: no column {missing[0]}, but {', '.join(header) or 'nothing'}; "
            f"allowed: a first line that names {_named(columns, needed)}"
        )
    for number, cells in records:
        where = f"{path}:{number}"
        if any(cells[len(header) :]):
            raise DatasetError(
                f"{where}: {len(cells)} cells; allowed: {len(header)} as in the first line; "
                f"quote what has the delimiter inside"
            )
        yield Line(where, {name: cells[at] for name, at in places.items() if at < len(cells)})


def read_text(path: Path) -> str:
    """Return a list's text. Raises DatasetError where it cannot be read or is not Unicode."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return _decoded(content)
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise DatasetError(f"{path}:{number}: not in UTF-8; allowed: a list in UTF-8") from None


def _decoded(content: bytes, errors: str = "strict") -> str:
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # Excel's Unicode text
    return content.decode("utf-16" if wide else "utf-8-sig", errors)


def _records(path: Path, text: str, columns: Columns) -> Iterator[tuple[int, list[str]]]:
    """Yield line numbers and cells; the delimiter is the one that gives the most known columns."""
    known = {name for names in columns.values() for name in names}
    first = text.lstrip().partition("\n")[0].partition("\r")[0]
    delimiter = max(
        DELIMITERS, key=lambda one: len(known & {_plain(cell) for cell in first.split(one)})
    )
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        number = 1
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any("\n" in cell or "\r" in cell for cell in stripped):
                raise DatasetError(f"{path}:{number}: a quote is open; allowed: quotes in pairs")
            if any(stripped):
                yield number, stripped
            number = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(f"{path}:{reader.line_num}: no line of cells: {error}") from None


def _columns(path: Path, header: Sequence[str], columns: Columns) -> dict[str, int]:
    """Return the places of the columns in a header. Raises DatasetError for a repeated column."""
    places: dict[str, int] = {}
    for column, names in columns.items():
        found = [place for place, cell in enumerate(header) if _plain(cell) in names]
        if len(found) > 1:
            both = " and ".join(header[place] for place in found)
            raise DatasetError(f"{path}: columns {both}; allowed: one of {', '.join(names)}")
        if found:
            places[column] = found[0]
    return places


def _plain(cell: str) -> str:
    return cell.strip().strip('"').strip().lower()


def _named(columns: Columns, needed: Sequence[str]) -> str:
    return " and ".join(
        f"{columns[column][0]} (or {', '.join(columns[column][1:])})"
        if columns[column][1:]
        else columns[column][0]
        for column in needed
    )
