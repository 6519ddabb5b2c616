"""What a dataset's videos are: its name, and whether this project drew them."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from framemix.errors import DatasetError
from framemix.jobs.atomic import write_text
from framemix.validation import describe_error

# The name of a file which says that the videos in a dataset's folder are drawn, wherever it is
# copied or linked.
DRAWN = "DRAWN_BY_FRAMEMIX"


class Origin(BaseModel):
    """A dataset by its name, and whether its videos are drawn by the project, for its sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    drawn: bool


def origin_of(root: Path) -> Origin:
    """Return what is in a dataset's folder."""
    # An output does not depend on the machine that it was made on.
    name = root.name if root.is_absolute() else root.as_posix()
    return Origin(name=name, drawn=(root / DRAWN).is_file())


def mark_drawn(root: Path) -> None:
    """Say in a dataset's folder that its videos are drawn."""
    text = "The videos in this folder are drawn by framemix. They show nobody.\n"
    write_text(root / DRAWN, text)


def read_origin(path: Path) -> Origin:
    """Return what a stage wrote of its dataset. Raises DatasetError, naming the file."""
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; run the stage that writes it")
    try:
        return Origin.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise DatasetError(f"{path}: {describe_error(error, Origin)}") from None
