"""Which of the processes that train together this is."""

from lightning.pytorch.utilities import rank_zero_only


def process_rank() -> int:
    """Return 0 in the first process, or the only one: that one writes."""
    rank: int = rank_zero_only.rank  # type: ignore[attr-defined]
    return rank
