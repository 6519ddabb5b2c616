"""Reads the store of mixed clips: HDF5 shards and an index.

`<folder>/<slug of class>-<label>-NNN.h5` holds `clips`, (N, S, H, W, 3) for rgb24 or
(N, S, 3H/2, W) for yuv420p, one chunk per clip and uncompressed: gzip would make files 1.2 times
smaller, and reading 28 times slower. `index.csv` has the shard and the row of every clip; with
several variants of a clip, this is the row of the first.
"""

import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from pydantic import ValidationError

from framemix.errors import StoreError, one_line
from framemix.mixing import MixSettings, Pixels
from framemix.store.index import IndexRow, index_file, read_index
from framemix.validation import describe_error


class MixedStore:
    """A folder of shards, read clip by clip. Each process opens a file when it first needs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = read_index(folder)
        self._shards: dict[str, _Shard] = {}
        self._checked: set[tuple[str, int]] = set()
        if not self.index:
            raise StoreError(f"{index_file(folder)}: lists no clip")

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open files: another process opens its own."""
        return {**self.__dict__, "_shards": {}, "_checked": set()}

    @property
    def settings(self) -> MixSettings:
        """The mix settings that the store was made with."""
        return self._shard(self.index[0].shard).settings

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """The shape of every clip: (S, H, W, 3) for rgb24, (S, 3H/2, W) for yuv420p."""
        return self._shard(self.index[0].shard).clip_shape

    def read(self, rows: Sequence[IndexRow], variant: int = 0) -> Pixels:
        """Return one variant of some clips as uint8 (len(rows), *clip_shape).

        Raises StoreError as `read_into` does.
        """
        batch = np.empty((len(rows), *self.clip_shape), np.uint8)
        for row, clip in zip(rows, batch, strict=True):
            self.read_into(clip, row, variant)
        return batch

    def read_into(self, clip: Pixels, row: IndexRow, variant: int = 0) -> None:
        """Read one variant of a clip into `clip`, a contiguous uint8 array of `clip_shape`.

        Raises StoreError for a clip that is missing or has changed. The checksum takes longer than
        the reading, so each process checks each clip once.
        """
        if variant >= self.settings.variants:
            raise StoreError(
                f"{self.folder}: view {variant + 1} of a clip: allowed: at most "
                f"its variants = {self.settings.variants}"
            )
        number = row.row + variant
        self._read_bytes(row, number, clip)
        if (row.shard, number) not in self._checked:
            if zlib.crc32(clip.data) != self._shard(row.shard).checksums[number]:
                raise self._damaged(row.shard, f"row {number} ({row.clip}) has changed")
            self._checked.add((row.shard, number))

    def _read_bytes(self, row: IndexRow, number: int, target: Pixels) -> None:
        shard = self._shard(row.shard)
        if not 0 <= number < len(shard.checksums):
            raise StoreError(
                f"{index_file(self.folder)}: {row.clip}: {row.shard} has no row {number}; "
                f"delete {self.folder} and run dvc repro"
            )
        # Without HDF5, whose lock lets one thread read at a time: a clip's bytes are contiguous.
        try:
            count = os.preadv(shard.descriptor, [target.data], shard.offsets[number])
        except (OSError, OverflowError) as error:
            raise self._damaged(row.shard, f"cannot be read: {one_line(error)}") from None
        if count != target.size:
            raise self._damaged(row.shard, f"ends before row {number} ({row.clip}) does")

    def checksums(self) -> dict[str, list[int]]:
        """Return the CRC-32 of every clip by shard, which identify the store's content."""
        shards = sorted({row.shard for row in self.index})
        return {shard: self._shard(shard).checksums for shard in shards}

    def _shard(self, name: str) -> "_Shard":
        if name not in self._shards:  # asking for a shard takes a third of the time of a clip
            try:
                self._shards[name] = _open_shard(self.folder / name)
            except ValidationError as error:
                raise self._damaged(
                    name, f"mix settings: {describe_error(error, MixSettings)}"
                ) from None
            except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
                raise self._damaged(name, f"cannot be read: {one_line(error)}") from None
        return self._shards[name]

    def _damaged(self, shard: str, what: str) -> StoreError:
        # All names of the file must go: DVC's cache or the scratch folder would restore it.
        path = self.folder / shard
        return StoreError(
            f"{path}: {what}; mend it with: find . -samefile {path} -delete; dvc repro"
        )


@dataclass(frozen=True)
class _Shard:
    """An open shard: the places of its clips in the file, their CRC-32, and their mix settings."""

    file: h5py.File  # kept, because it owns the descriptor
    descriptor: int
    offsets: list[int]
    clip_shape: tuple[int, ...]
    checksums: list[int]
    settings: MixSettings


def _open_shard(path: Path) -> _Shard:
    """Open a shard. A damaged one makes HDF5 raise many kinds of errors."""
    file = h5py.File(path, "r")
    attributes = {"variants": 1, **{name: _text(value) for name, value in file.attrs.items()}}
    if attributes["window"] != "all":
        attributes["window"] = json.loads(attributes["window"])
    attributes["size"] = attributes["size"].tolist()
    clips = file["clips"]
    if clips.chunks != (1, *clips.shape[1:]) or clips.id.get_create_plist().get_nfilters():
        raise ValueError("compressed, or not a chunk a clip")
    checksums = clips.attrs["crc32"].tolist()
    if len(clips) != len(checksums):  # before a loop over rows, of which there may be 2**63
        raise ValueError(f"{len(clips)} rows, but {len(checksums)} checksums")
    corner = [0] * (clips.ndim - 1)
    chunks = [clips.id.get_chunk_info_by_coord((row, *corner)) for row in range(len(clips))]
    if any(chunk.byte_offset is None for chunk in chunks):
        raise ValueError("rows without a clip")
    return _Shard(
        file=file,
        descriptor=file.id.get_vfd_handle(),
        offsets=[chunk.byte_offset for chunk in chunks],
        clip_shape=clips.shape[1:],
        checksums=checksums,
        settings=MixSettings.model_validate(attributes),
    )


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
