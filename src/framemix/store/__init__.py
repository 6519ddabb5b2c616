"""The store of mixed clips: HDF5 shards of uint8 clips, and an index of the clips.

Code that writes, reads and checks clips belongs here, and code that makes a store of a dataset.
Finding the clips does not (`datasets`), nor mixing (`mixing`) or batching them (`training`).
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
