"""Tables in Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from framemix.text.names import literal


@dataclass(frozen=True)
class Table:
    """A table of text; every row has one cell per column."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return the table in Markdown, one line per row, with markup in cells escaped."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(map(literal, cells))} |" for cells in lines)
