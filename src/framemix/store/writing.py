"""Writes a shard of mixed clips: the same clips give the same bytes."""

import json
import os
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from framemix.mixing import MixSettings, Pixels


def shard_name(class_name: str, label: int, number: int) -> str:
    """Return the file name of a class's shard."""
    slug = re.sub(r"[^a-z0-9]+", "-", class_name.lower()).strip("-")[:60]
    return f"{slug}-{label}-{number:03}.h5"


def write_shard(path: Path, clips: Iterable[Pixels], count: int, settings: MixSettings) -> None:
    """Write `count` mixed clips, each uint8 (S, *settings.frame_shape), to a new shard.

    The variants of a clip follow one another. The same clips and settings give the same bytes.
    Raises OSError when the disk has too little room for them, before the first is taken.
    """
    shape = (settings.segments, *settings.frame_shape)
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(path, "w", libver="latest", track_order=False) as file:
        file.attrs.update(_attributes(settings))
        data = file.create_dataset(
            "clips", (count, *shape), np.uint8, chunks=(1, *shape), track_times=False, dcpl=layout
        )
        checksums = np.zeros(count, np.uint32)
        data.attrs["crc32"] = checksums
        file.flush()
        _reserve(path)
        for row, clip in enumerate(clips):
            data[row] = clip
            checksums[row] = zlib.crc32(np.ascontiguousarray(clip).data)
        data.attrs.modify("crc32", checksums)


def _reserve(path: Path) -> None:
    """Allocate disk space for the whole file.

    HDF5 ends the process when the disk fills up in the middle of a file.
    """
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _attributes(settings: MixSettings) -> dict[str, Any]:
    attributes = settings.model_dump()
    if settings.window != "all":
        attributes["window"] = json.dumps(attributes["window"])
    if settings.variants == 1:  # such stores have the bytes of versions that knew no variants
        del attributes["variants"]
    # As text of fixed length: other text is in a heap, and HDF5 spends minutes on a damaged one.
    return {k: np.bytes_(v) if isinstance(v, str) else v for k, v in attributes.items()}
