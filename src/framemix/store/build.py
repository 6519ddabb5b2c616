"""Mixes the videos of a dataset into its store, with many shards at a time."""

from collections.abc import Sequence
from functools import partial
from itertools import chain, groupby
from pathlib import Path

from framemix.jobs.execution import Execution, finished
from framemix.jobs.fingerprint import code_fingerprint
from framemix.jobs.isolation import Limits, isolated
from framemix.jobs.scratch import Unit, link
from framemix.mixing import MixSettings
from framemix.mixing.files import mix_variants
from framemix.store.index import IndexRow, write_index
from framemix.store.sources import Source
from framemix.store.writing import shard_name, write_shard
from framemix.video.reading import video_files

# The shards of UCF101 at paper A's 150 frames then have about 1 GB.
CLIPS_PER_SHARD = 32
# In the scratch folder, a shard's name has no label, which changes when a class is added.
SHARD = "shard.h5"


def build_store(
    sources: Sequence[Source],
    folder: Path,
    settings: MixSettings,
    execution: Execution,
) -> None:
    """Mix every source into a new store in `folder`.

    Raises VideoError when a video has another number of frames than its row.
    """
    shards = _shards(sources)
    units = [
        Unit(
            make=partial(_mix_shard, members, settings, execution.limits),
            settings={
                "clips": [(m.name, m.clip.frames, m.clip.reader) for m in members],
                **settings.model_dump(),
            },
            # Each file once: several stretches may share one.
            files=[file for path in {m.path: m for m in members} for file in video_files(path)],
            code=code_fingerprint(__file__),
        )
        for members in shards.values()
    ]
    with finished(units, execution, label="mix shards") as done:
        for name, unit in zip(shards, done, strict=True):
            link(unit / SHARD, folder / name)
    rows = [index_rows(name, members, settings.variants) for name, members in shards.items()]
    write_index(folder, chain.from_iterable(rows))


def index_rows(shard: str, sources: Sequence[Source], variants: int) -> list[IndexRow]:
    """Return the index of a shard that holds `variants` rows of each source, one after another."""
    return [
        IndexRow(
            clip=source.name,
            class_name=source.class_name,
            label=source.label,
            shard=shard,
            row=number * variants,
            frames=source.clip.frames,
        )
        for number, source in enumerate(sources)
    ]


def _shards(sources: Sequence[Source]) -> dict[str, list[Source]]:
    """Return the sources of each shard by the shard's name, in the order of labels and clips."""
    shards: dict[str, list[Source]] = {}
    ordered = sorted(sources, key=lambda source: (source.label, source.name))
    for _, members in groupby(ordered, key=lambda source: source.label):
        clips = list(members)
        for start in range(0, len(clips), CLIPS_PER_SHARD):
            first, number = clips[start], start // CLIPS_PER_SHARD
            name = shard_name(first.class_name, first.label, number)
            shards[name] = clips[start : start + CLIPS_PER_SHARD]
    return shards


def _mix_shard(
    sources: Sequence[Source], settings: MixSettings, limits: Limits, folder: Path
) -> None:
    variants = (
        isolated(
            partial(
                mix_variants,
                frames=s.clip.frames,
                settings=settings,
                clip=s.name,
                backward=s.backward,
                reader=s.clip.reader or "pyav",
                stretch=s.clip.stretch,
            ),
            s.path,
            limits,
        )
        for s in sources
    )
    count = len(sources) * settings.variants
    write_shard(folder / SHARD, chain.from_iterable(variants), count, settings)
