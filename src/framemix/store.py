"""The store of mixed clips: HDF5 shards of uint8 clips and an index of what is where.

`<folder>/<slug of class>-<label>-NNN.h5` holds `clips`, (N, S, H, W, 3) for rgb24 or
(N, S, 3H/2, W) for yuv420p, one chunk a clip and uncompressed: gzip would cost 28 times the read
for 1.2 times the size. `index.csv` names the shard and row of every clip.
"""

import json
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from pydantic import Field

from framemix.errors import StoreError
from framemix.mixing import MixSettings, Pixels
from framemix.tables import Row, read_table


class IndexRow(Row):
    """Where a clip is in the store, and what it shows."""

    clip: str
    class_name: str = Field(alias="class")
    label: int
    shard: str
    row: int
    frames: int


def shard_name(class_name: str, label: int, number: int) -> str:
    """Return the file name of a class's shard."""
    slug = re.sub(r"[^a-z0-9]+", "-", class_name.lower()).strip("-")[:60]
    return f"{slug}-{label}-{number:03}.h5"


def write_shard(path: Path, clips: Iterable[Pixels], count: int, settings: MixSettings) -> None:
    """Write `count` mixed clips, each uint8 (S, *settings.frame_shape), to a new shard.

    The same clips and settings give the same bytes.
    """
    shape = (settings.segments, *settings.frame_shape)
    with h5py.File(path, "w", libver="latest", track_order=False) as file:
        file.attrs.update(_attributes(settings))
        data = file.create_dataset(
            "clips", (count, *shape), np.uint8, chunks=(1, *shape), track_times=False
        )
        checksums = np.zeros(count, np.uint32)
        for row, clip in enumerate(clips):
            data[row] = clip
            checksums[row] = zlib.crc32(np.ascontiguousarray(clip).data)
        data.attrs["crc32"] = checksums


class MixedStore:
    """A folder of shards, read clip by clip. Files open when first needed, once a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = read_table(folder / "index.csv", IndexRow)
        self._files: dict[str, h5py.File] = {}
        self._datasets: dict[str, Any] = {}
        if not self.index:
            raise StoreError(f"{folder / 'index.csv'}: lists no clip")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open files behind: another process opens its own."""
        return {**self.__dict__, "_files": {}, "_datasets": {}}

    @property
    def settings(self) -> MixSettings:
        """The mix settings that the store was made with."""
        attributes = dict(self._shard(self.index[0].shard).attrs)
        if attributes["window"] != "all":
            attributes["window"] = json.loads(attributes["window"])
        attributes["size"] = attributes["size"].tolist()
        return MixSettings.model_validate(attributes)

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """The shape of every clip: (S, H, W, 3) for rgb24, (S, 3H/2, W) for yuv420p."""
        shape: tuple[int, ...] = self._clips(self.index[0].shard).shape[1:]
        return shape

    def read(self, rows: Sequence[IndexRow]) -> Pixels:
        """Return those clips as uint8 (len(rows), *clip_shape)."""
        batch = np.empty((len(rows), *self.clip_shape), np.uint8)
        for place, row in enumerate(rows):
            # A clip is one raw chunk: straight into its place, at half the time of a selection.
            start, target = (row.row, *[0] * len(self.clip_shape)), batch[place].reshape(-1)
            _, chunk = self._clips(row.shard).id.read_direct_chunk(start, out=target)
            if len(chunk) != target.size:
                raise StoreError(f"{self.folder / row.shard}: is compressed or not a chunk a clip")
        return batch

    def checksums(self) -> dict[str, list[int]]:
        """Return the CRC-32 of every clip by shard: the store's content in a few bytes."""
        shards = sorted({row.shard for row in self.index})
        return {shard: self._clips(shard).attrs["crc32"].tolist() for shard in shards}

    def _clips(self, shard: str) -> Any:
        if shard not in self._datasets:  # a look-up takes a third of the time of a clip
            self._datasets[shard] = self._shard(shard)["clips"]
        return self._datasets[shard]

    def _shard(self, shard: str) -> h5py.File:
        if shard not in self._files:
            try:
                self._files[shard] = h5py.File(self.folder / shard, "r")
            except OSError as error:
                raise StoreError(f"{self.folder / shard}: cannot be read: {error}") from None
        return self._files[shard]


def _attributes(settings: MixSettings) -> dict[str, Any]:
    attributes = settings.model_dump()
    if settings.window != "all":
        attributes["window"] = json.dumps(attributes["window"])
    return attributes
