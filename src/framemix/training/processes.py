"""The rank of this process among those that train together."""

from lightning.pytorch.utilities import rank_zero_only


def process_rank() -> int:
    """Return the rank of this process; the first or only one has 0, and writes the files."""
    rank: int = rank_zero_only.rank  # type: ignore[attr-defined]
    return rank
