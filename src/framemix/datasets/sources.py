"""From the rows of a dataset's table to the videos that are mixed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from framemix.datasets.records import (
    BACKWARD,
    STATES,
    Clip,
    LabelledVideo,
    Video,
    class_labels,
    judged,
)
from framemix.video.reading import Reader


@dataclass(frozen=True)
class Source:
    """A video to mix: its clip name, path, class, label, how many frames it has, who reads it.

    A `backward` one is mixed from its last frame to its first.
    """

    clip: str
    path: Path
    class_name: str
    label: int
    frames: int
    backward: bool = False
    reader: Reader = "pyav"


def video_sources(videos: Iterable[Video], root: Path) -> list[Source]:
    """Return the kept videos below `root` as sources of mixed clips."""
    kept = [video for video in videos if video.kept]
    labels = class_labels(kept)
    return [
        Source(
            v.video,
            root.absolute() / v.video,
            v.class_name,
            labels[v.class_name],
            v.frames,
            reader=v.reader or "pyav",
        )
        for v in kept
    ]


def labelled_sources(
    videos: Sequence[LabelledVideo], root: Path, partners: Mapping[str, str]
) -> list[Source]:
    """Return the kept videos in `root` as sources of mixed clips, the judged ones backward too.

    `partners` names the class that videos of a class show when they are played backward. Where
    there is one, a second clip of that class is called `<video>` and BACKWARD.
    """
    kept = [video for video in videos if video.kept]
    labels = class_labels(kept)

    def source(video: LabelledVideo, class_name: str, *, backward: bool) -> Source:
        return Source(
            clip=video.video + BACKWARD * backward,
            path=root.absolute() / video.video,
            class_name=class_name,
            label=labels[class_name],
            frames=video.frames,
            backward=backward,
            reader=video.reader or "pyav",
        )

    return [
        *(source(video, video.class_name, backward=False) for video in kept),
        *(
            source(video, partners[video.class_name], backward=True)
            for video in judged(kept)
            if partners.get(video.class_name) in labels
        ),
    ]


def clip_sources(clips: Sequence[Clip], folder: Path) -> list[Source]:
    """Return the kept clips, files of `folder`, as sources of mixed clips."""
    labels = {state: label for label, state in enumerate(STATES.values())}
    return [
        Source(
            clip.clip,
            folder.absolute() / f"{clip.clip}.mp4",
            clip.state,
            labels[clip.state],
            clip.frames,
            reader=clip.reader or "pyav",
        )
        for clip in clips
        if clip.kept
    ]
