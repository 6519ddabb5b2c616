"""Something-Something V1 and V2, and any folder of classes: tables of labelled videos.

Goyal et al., "The 'something something' video database" (ICCV 2017). V1 is jpg folders with CSV
lists, V2 WebM files with JSON lists:

- `20bn-something-something-v1/<id>/00001.jpg ...`, `*-{train,validation}.csv` of `id;label`
- `20bn-something-something-v2/<id>.webm`, `*{train,validation}.json` of `{"id", "template"}`
- `[<train|val|test>/]<Class>/<video>` otherwise
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from framemix.datasets.files import commonest
from framemix.datasets.records import LabelledVideo
from framemix.datasets.splits import random_split
from framemix.errors import DatasetError, VideoError, reason_of
from framemix.jobs.cluster import Cluster
from framemix.jobs.fingerprint import code_fingerprint
from framemix.jobs.isolation import Limits, isolated
from framemix.jobs.scratch import Unit, finished
from framemix.tables import read_table, write_table
from framemix.video.containers import is_macos_note
from framemix.video.reading import examine, video_files

SUBSETS = ("train", "val", "test")
# The lists' names of the subsets. That of the test set has no labels.
LISTED = {"train": "train", "validation": "val"}
VIDEOS_A_UNIT = 200


class ListedVideo(BaseModel):
    """A video in a list of V2: without a template it has no label."""

    id: str | int
    template: str = ""

    @property
    def label(self) -> str:
        """The template without its brackets."""
        return self.template.replace("[", "").replace("]", "")


JSON_LIST = TypeAdapter(list[ListedVideo])


class LabelledSettings(BaseModel):
    """Which videos are kept, and how those are divided that no subset is given for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_frames: int = Field(ge=1)
    folds: int = Field(ge=2)


@dataclass(frozen=True)
class Found:
    """A video of a dataset, with a reason where its label or its file is missing."""

    video: str
    class_name: str
    subset: str
    reason: str = ""


def label_videos(
    root: Path, settings: LabelledSettings, *, scratch: Path, cluster: Cluster, limits: Limits
) -> list[LabelledVideo]:
    """Return a row for every video in `root` or in its lists: kept, or rejected with a reason.

    All frames of a kept video can be decoded, and there are at least `settings.min_frames`. Where
    the dataset has no subsets, one of `settings.folds` parts validates. Raises DatasetError when
    there is no video, or none is kept.
    """
    found = find_videos(root)
    units = [
        Unit(
            folder=scratch,
            make=partial(_inspect_all, root.absolute(), videos, settings.min_frames, limits),
            settings={
                "videos": [asdict(video) for video in videos],
                "min_frames": settings.min_frames,
                **asdict(limits),
            },
            files=[
                file
                for video in videos
                if not video.reason
                for file in video_files(root.absolute() / video.video)
            ],
            code=code_fingerprint(__file__),
        )
        for videos in (found[i : i + VIDEOS_A_UNIT] for i in range(0, len(found), VIDEOS_A_UNIT))
    ]
    with finished(scratch, units, cluster=cluster, label="list videos") as done:
        rows = [row for folder in done for row in read_table(folder / "videos.csv", LabelledVideo)]
    if not any(row.kept for row in rows):
        raise DatasetError(f"{root}: no video can be used: {commonest(row.reason for row in rows)}")
    return _divided(rows, settings.folds)


def find_videos(root: Path) -> list[Found]:
    """Return the videos in `root` and those that its lists name, sorted by path.

    Raises DatasetError when there is no folder or nothing in it.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; {_expected()}")
    lists = {
        subset: path
        for name, subset in LISTED.items()
        for path in sorted([*root.glob(f"*{name}.csv"), *root.rglob(f"*{name}.json")])
    }
    found = list(_listed(root, lists) if lists else _in_class_folders(root))
    if not found:
        raise DatasetError(f"{root}: no video in it; {_expected()}")
    return sorted(found, key=lambda video: video.video)


def _listed(root: Path, lists: dict[str, Path]) -> Iterator[Found]:
    first, *_ = lists.values()
    version, suffix = ("v1", "") if first.suffix == ".csv" else ("v2", ".webm")
    folder = root / f"20bn-something-something-{version}"
    inside = folder.iterdir() if folder.is_dir() else ()
    unlisted = {path.name for path in inside if not is_macos_note(path.name)}
    for subset, path in lists.items():
        for number, label in _labels(path):
            name = f"{number}{suffix}"
            reason = "" if name in unlisted else "no such folder or file"
            unlisted.discard(name)
            reason = reason if label else "no label"
            yield Found(f"{folder.name}/{name}", label, subset, reason)
    for name in unlisted:
        yield Found(f"{folder.name}/{name}", "", "", "in no list with labels")


def _labels(path: Path) -> list[tuple[str, str]]:
    """Return ids and labels; of V2, a label is a template: "Putting something onto something"."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return [(str(video.id), video.label) for video in JSON_LIST.validate_json(text)]
    except ValueError:
        raise DatasetError(
            f"{path}: no list of videos; allowed: in UTF-8, lines of id;label as V1 has them, "
            f'or JSON as V2 has it: [{{"id": "1", "template": "Pushing [something]"}}, ...]'
        ) from None
    lines = filter(None, map(str.strip, text.splitlines()))
    return [(number, label.strip()) for number, _, label in (line.partition(";") for line in lines)]


def _in_class_folders(root: Path) -> Iterator[Found]:
    folders = [root / subset for subset in SUBSETS if (root / subset).is_dir()]
    for folder in folders or [root]:
        for path in folder.rglob("*"):
            if path.is_file() and not is_macos_note(path.name):
                parts = path.relative_to(folder).parts
                class_name = parts[0] if len(parts) == 2 else ""
                reason = "" if class_name else "not <Class>/<video>"
                video = path.relative_to(root).as_posix()
                yield Found(video, class_name, folder.name if folders else "", reason)


def _inspect_all(
    root: Path, videos: Sequence[Found], min_frames: int, limits: Limits, folder: Path
) -> None:
    rows = [_inspect(root / video.video, video, min_frames, limits) for video in videos]
    write_table(folder / "videos.csv", LabelledVideo, rows)


def _inspect(path: Path, video: Found, min_frames: int, limits: Limits) -> LabelledVideo:
    row = LabelledVideo.model_validate(asdict(video))
    if video.reason:
        return row
    try:
        examined = isolated(examine, path, limits)
    except VideoError as error:
        return row.model_copy(update={"reason": reason_of(error, path)})
    frames, pictures, reason = examined.frames, len(video_files(path)), ""
    if path.is_dir() and frames < pictures:
        reason = f"{pictures} jpg files, {frames} of them in sequence and readable"
    elif frames < min_frames:
        reason = f"{frames} frames, fewer than {min_frames}"
    found = {
        "frames": frames,
        "width": examined.info.width,
        "height": examined.info.height,
        "kept": not reason,
        "reason": reason,
        "reader": examined.reader,
    }
    return row.model_copy(update=found)


def _divided(rows: Sequence[LabelledVideo], folds: int) -> list[LabelledVideo]:
    """Put kept videos without a subset into train or val, at random within each class."""
    free = [place for place, row in enumerate(rows) if row.kept and not row.subset]
    classes = [rows[place].class_name for place in free]
    subsets = dict(zip(free, random_split(classes, folds=folds, fold=0, seed=0), strict=True))
    return [
        row.model_copy(update={"subset": subsets.get(place, row.subset)})
        for place, row in enumerate(rows)
    ]


def _expected() -> str:
    return (
        "allowed: Something-Something V1 or V2 with its lists, or a folder with "
        "[<train|val|test>/]<Class>/<video> files"
    )
