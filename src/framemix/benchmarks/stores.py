"""Stores that benchmarks mix without dask, in their own process."""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from framemix.datasets.clips import Clip, class_labels
from framemix.jobs.fingerprint import code_fingerprint
from framemix.jobs.scratch import Unit
from framemix.mixing import MixSettings
from framemix.mixing.files import mix_variants
from framemix.store import IndexRow, write_shard
from framemix.store.sources import sources_of
from framemix.tables import write_table
from framemix.video.reading import video_files

SHARD = "clips.h5"


def kept_store(videos: Sequence[Clip], root: Path, folder: Path, mix: MixSettings) -> Path:
    """Return a store of the videos in `root`: the one that is in `folder`, or one that is new.

    It is used again while videos, mix and code are what they were.
    """
    paths = dict.fromkeys(source.path for source in sources_of(videos, root, class_labels(videos)))
    unit = Unit(
        make=partial(write_store, videos, root, mix),
        settings={**mix.model_dump(), "videos": [video.model_dump() for video in videos]},
        files=list(chain.from_iterable(map(video_files, paths))),
        code=code_fingerprint(__file__),
    )
    return unit.finish(folder)


def write_store(videos: Sequence[Clip], root: Path, mix: MixSettings, folder: Path) -> None:
    """Mix the videos in `root` into a store of one shard."""
    folder.mkdir(exist_ok=True)
    sources = sources_of(videos, root, class_labels(videos))
    clips = chain.from_iterable(
        mix_variants(
            source.path,
            source.clip.frames,
            mix,
            clip=source.name,
            reader=source.clip.reader or "pyav",
            stretch=source.clip.stretch,
        )
        for source in sources
    )
    write_shard(folder / SHARD, clips, len(sources) * mix.variants, mix)
    rows = [
        IndexRow(
            clip=source.name,
            class_name=source.class_name,
            label=source.label,
            shard=SHARD,
            row=number * mix.variants,
            frames=source.clip.frames,
        )
        for number, source in enumerate(sources)
    ]
    write_table(folder / "index.csv", IndexRow, rows)
