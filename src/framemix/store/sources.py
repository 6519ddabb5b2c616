"""What is mixed into a store: clips of a dataset, with their files and labels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from framemix.datasets.clips import Clip, clip_file, clip_name, folder_of


@dataclass(frozen=True)
class Source:
    """A clip to mix: what it is called in the store, its row, its file, what it shows.

    A `backward` one is mixed from its last frame to its first, and shows another class than its
    row's.
    """

    name: str
    clip: Clip
    path: Path
    class_name: str
    label: int
    backward: bool = False


def sources_of(clips: Iterable[Clip], root: Path, labels: Mapping[str, int]) -> list[Source]:
    """Return the kept clips of the folder or list `root` as what is mixed into a store."""
    folder = folder_of(root).absolute()
    return [
        Source(
            name=clip_name(clip),
            clip=clip,
            path=clip_file(clip, folder),
            class_name=clip.class_name,
            label=labels[clip.class_name],
        )
        for clip in clips
        if clip.kept
    ]
