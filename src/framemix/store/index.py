"""The row of a store's index: where a clip is, and what it shows."""

from pydantic import Field

from framemix.tables import Row


class IndexRow(Row):
    """Where a clip is in the store, and what it shows."""

    clip: str
    class_name: str = Field(alias="class")
    label: int
    shard: str
    row: int
    frames: int
