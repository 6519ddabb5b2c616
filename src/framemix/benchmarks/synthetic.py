"""Stores of random clips, for benchmarks without videos."""

from collections.abc import Iterable
from pathlib import Path

from framemix.mixing import Method, MixSettings, Pixels
from framemix.store import IndexRow, MixedStore, write_shard
from framemix.tables import write_table

SHARD = "a.h5"


def whole_video(
    size: tuple[int, int], *, segments: int, method: Method, pixel_format: str = "rgb24"
) -> MixSettings:
    """Return how to mix all of a video into `segments` frames of `size` = (height, width)."""
    return MixSettings.model_validate(
        {
            "method": method,
            "segments": segments,
            "frames_per_segment": "all",
            "window": "all",
            "variants": 1,
            "size": size,
            "fit": "squeeze",
            "pixel_format": pixel_format,
        }
    )


def store_of(
    folder: Path, clips: Iterable[Pixels], count: int, settings: MixSettings
) -> MixedStore:
    """Write `count` clips, each uint8 (S, *settings.frame_shape), as one class into `folder`."""
    write_shard(folder / SHARD, clips, count, settings)
    rows = [
        IndexRow(clip=str(i), class_name="a", label=0, shard=SHARD, row=i, frames=150)
        for i in range(count)
    ]
    write_table(folder / "index.csv", IndexRow, rows)
    return MixedStore(folder)
