"""Sums up the figures of a training that was done once a seed."""

import statistics
from collections.abc import Mapping, Sequence

Figures = Mapping[str, float | int | None]


def over_seeds(figures: Sequence[Figures]) -> dict[str, float | int | None]:
    """Return the first seed's figures; with more seeds, also mean and sample deviation of each.

    Whole numbers count something that no seed changes. None where a seed has no figure.
    """
    summary = dict(figures[0])
    for name, value in figures[0].items():
        if len(figures) > 1 and not isinstance(value, int):
            values = [f for each in figures if (f := each[name]) is not None]
            there = len(values) == len(figures)
            summary[f"{name}_mean"] = round(statistics.fmean(values), 6) if there else None
            summary[f"{name}_std"] = round(statistics.stdev(values), 6) if there else None
    return summary
