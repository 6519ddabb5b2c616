"""The origin of a dataset's videos: the dataset's name, and whether this project drew them."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from framemix.errors import DatasetError
from framemix.jobs.atomic import write_text
from framemix.validation import describe_error

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
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; run the stage that writes it")
    try:
        return Origin.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise DatasetError(f"{path}: {describe_error(error, Origin)}") from None
