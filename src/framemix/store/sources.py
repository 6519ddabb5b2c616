"""The clips of a dataset that are mixed into a store, with their files and labels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from framemix.datasets.clips import Clip, clip_file, clip_name, folder_of


@dataclass(frozen=True)
class Source:
    """A clip to mix: its name in the store, its row, its file, and its class.

    A `backward` one is mixed from its last frame to its first, and its class is not its row's.
    """

    name: str
    clip: Clip
    path: Path
    class_name: str
    label: int
    backward: bool = False


def sources_of(clips: Iterable[Clip], root: Path, labels: Mapping[str, int]) -> list[Source]:
    """Return the sources of a store: the kept clips of the folder or list `root`."""
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
