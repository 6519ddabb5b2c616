"""Reads and writes the pipeline's CSV tables: UTF-8, a header, rows checked field by field."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from framemix.errors import DatasetError, one_line
from framemix.jobs.atomic import replacing, write_text
from framemix.validation import explain


class Row(BaseModel):
    """A row of a table: its fields, by alias where they have one, are the columns."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


# A number that may be missing: its cell is empty then.
_EMPTY = BeforeValidator(lambda value: None if value == "" else value)
MaybeFloat = Annotated[float | None, _EMPTY]
MaybeInt = Annotated[int | None, _EMPTY]

RowType = TypeVar("RowType", bound=Row)


def write_table(path: Path, row_type: type[RowType], rows: Iterable[RowType]) -> None:
    """Write `rows` to `path`, which appears under its name only when complete."""
    write_csv(
        path, _columns(row_type), (row.model_dump(mode="json", by_alias=True) for row in rows)
    )


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows that nobody reads as `Row` to `path`, which appears only when complete."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: Path, row_type: type[RowType]) -> list[RowType]:
    """Return the rows of `path`. Raises DatasetError naming the line and the column."""
    if not path.is_file():
        raise DatasetError(f"{path}: no such table; run the stage that writes it")
    columns = _columns(row_type)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            if sorted(header) != sorted(columns):
                raise DatasetError(
                    f"{path}:1: columns {','.join(header)!r}; allowed: {','.join(columns)!r}"
                )
            return [_parse(f"{path}:{reader.line_num}", row_type, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: no table in UTF-8: {one_line(error)}") from None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON; `path` appears under its name only when complete."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _columns(row_type: type[Row]) -> list[str]:
    return [field.alias or name for name, field in row_type.model_fields.items()]


def _parse(where: str, row_type: type[RowType], row: dict[str, str]) -> RowType:
    # DictReader puts surplus cells under None, and None into cells that are not there.
    if None in row or None in row.values():
        much = "many" if None in row else "few"
        raise DatasetError(f"{where}: too {much} cells; allowed: one for each column")
    try:
        return row_type.model_validate(row)
    except ValidationError as error:
        raise DatasetError(f"{where}: {explain(error, row_type)}") from None
