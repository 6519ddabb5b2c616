"""Reads and writes the pipeline's CSV tables: UTF-8, a header, rows checked field by field.

A spreadsheet would run text that begins like a formula. Such text is written with an apostrophe in
front, which spreadsheets hide and `read_table` removes.
"""

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from framemix.errors import DatasetError, one_line
from framemix.jobs.atomic import replacing, write_text
from framemix.validation import describe_error


class Row(BaseModel):
    """A row of a table; its columns are named by its fields' aliases, or else by their names."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


# A number that may be missing; its cell is then empty.
_EMPTY = BeforeValidator(lambda value: None if value == "" else value)
MaybeFloat = Annotated[float | None, _EMPTY]
MaybeInt = Annotated[int | None, _EMPTY]

RowType = TypeVar("RowType", bound=Row)

# Text that begins like a formula, or like a formula that already has an apostrophe in front.
FORMULA = re.compile(r"\A(?='*[=+\-@\t\r])")


def write_table(path: Path, row_type: type[RowType], rows: Iterable[RowType]) -> None:
    """Write `rows` to `path`, which appears under its name only when complete."""
    write_csv(
        path, _columns(row_type), (row.model_dump(mode="json", by_alias=True) for row in rows)
    )


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows that have no `Row` type to `path`, which appears only when complete."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        write_rows(file, [columns])
        write_rows(file, ([row[column] for column in columns] for row in rows))


def write_rows(file: TextIO, rows: Iterable[Iterable[Any]]) -> None:
    """Write rows, with texts that no spreadsheet runs and lines that end with `\\n`."""
    for row in rows:
        line = StringIO()
        cells = [FORMULA.sub("'", cell, 1) if isinstance(cell, str) else cell for cell in row]
        # With a line terminator of "\n", Python 3.11 would not quote a carriage return in a cell.
        csv.writer(line, lineterminator="\r\n").writerow(cells)
        file.write(line.getvalue().removesuffix("\r\n") + "\n")


def read_table(path: Path, row_type: type[RowType]) -> list[RowType]:
    """Return the rows of `path`. Raises DatasetError naming the line and the column."""
    if not path.is_file():
        raise DatasetError(f"{path}: no such table; run the stage that writes it")
    with path.open(encoding="utf-8", newline="") as file:
        return parse_table(file, path, row_type)


def parse_table(lines: Iterable[str], name: object, row_type: type[RowType]) -> list[RowType]:
    """Return the rows of the table called `name`, as `read_table` does."""
    columns, reader = _columns(row_type), csv.DictReader(lines)
    try:
        header = reader.fieldnames or []
        if sorted(header) != sorted(columns):
            raise DatasetError(
                f"{name}:1: columns {','.join(header)!r}; allowed: {','.join(columns)!r}"
            )
        return [_parse(f"{name}:{reader.line_num}", row_type, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{name}: no table in UTF-8: {one_line(error)}") from None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON; `path` appears under its name only when complete."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _columns(row_type: type[Row]) -> list[str]:
    return [field.alias or name for name, field in row_type.model_fields.items()]


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _parse(where: str, row_type: type[RowType], row: dict[str, str]) -> RowType:
    # DictReader puts surplus cells under the key None, and the value None into missing cells.
    if None in row or None in row.values():
        much = "many" if None in row else "few"
        raise DatasetError(f"{where}: too {much} cells; allowed: one for each column")
    try:
        return row_type.model_validate({column: _plain(cell) for column, cell in row.items()})
    except ValidationError as error:
        raise DatasetError(f"{where}: {describe_error(error, row_type)}") from None
