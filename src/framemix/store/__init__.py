"""The store of mixed clips: HDF5 shards of uint8 clips, and an index of what is where.

How clips are written, read and checked belongs here, and how a dataset becomes a store.
What a clip shows does not (`datasets`), nor how it is mixed (`mixing`) or batched
(`training`).
"""

from framemix.store.index import IndexRow, write_index
from framemix.store.reading import MixedStore
from framemix.store.writing import shard_name, write_shard

__all__ = [
    "IndexRow",
    "MixedStore",
    "shard_name",
    "write_index",
    "write_shard",
]
