"""A store's index: where each clip is stored, and its class."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import Field

from framemix.tables import Row, read_table, write_table


class IndexRow(Row):
    """A clip's place in the store (its first row in a shard), class, and frames before mixing."""

    clip: str
    class_name: str = Field(alias="class")
    label: int
    shard: str
    row: int
    frames: int


def index_file(folder: Path) -> Path:
    """Return the index of the store in `folder`."""
    return folder / "index.csv"


def write_index(folder: Path, rows: Iterable[IndexRow]) -> None:
    """Write the index of a store whose shards are in `folder`."""
    write_table(index_file(folder), IndexRow, rows)


def read_index(folder: Path) -> list[IndexRow]:
    """Return the index of the store in `folder`. Raises DatasetError as `read_table` does."""
    return read_table(index_file(folder), IndexRow)
