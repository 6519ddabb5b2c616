"""The origin of a dataset's videos: the dataset's name, and whether this project drew them."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from framemix.jobs.atomic import write_text
from framemix.validation import read_json

# A file of this name marks a dataset's folder as drawn, wherever the folder is copied or linked.
DRAWN = "DRAWN_BY_FRAMEMIX"


class Origin(BaseModel):
    """A dataset's name, and whether its videos were drawn by this project, for its sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    drawn: bool


def origin_of(root: Path) -> Origin:
    """Return the origin of the videos in a dataset's folder."""
    # No absolute path: an output must not depend on the machine that it was made on.
    name = root.name if root.is_absolute() else root.as_posix()
    return Origin(name=name, drawn=(root / DRAWN).is_file())


def mark_drawn(root: Path) -> None:
    """Mark a dataset's folder as drawn."""
    text = "The videos in this folder are drawn by framemix. They show nobody.\n"
    write_text(root / DRAWN, text)


def read_origin(path: Path) -> Origin:
    """Return the origin that a stage wrote. Raises DatasetError, naming the file."""
    return read_json(path, Origin)
