"""Summarises the metrics of a training that was done once per seed, and reads the summary."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# The content of metrics.json: the first seed's metrics, and with several seeds <metric>_mean and
# <metric>_std.
Metrics = Mapping[str, float | int | None]
MEAN, DEVIATION = "_mean", "_std"


@dataclass(frozen=True)
class OverSeeds:
    """Mean and sample deviation of a metric over several seeds."""

    mean: float
    std: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "OverSeeds":
        """Summarise a metric's values, one per seed, two or more."""
        return cls(statistics.fmean(values), statistics.stdev(values))


@dataclass(frozen=True)
class SeedMetric:
    """The first seed's metric, and the summary over all seeds where there are several."""

    value: float | int | None
    over_seeds: OverSeeds | None = None


def over_seeds(of_seeds: Sequence[Metrics]) -> Metrics:
    """Return the first seed's metrics; with more seeds, also mean and sample deviation of each.

    Whole numbers are counts, which are the same for all seeds. None where a seed has no value.
    """
    summary = dict(of_seeds[0])
    for name, value in of_seeds[0].items():
        if len(of_seeds) > 1 and not isinstance(value, int):
            values = [f for each in of_seeds if (f := each[name]) is not None]
            found = OverSeeds.of(values) if len(values) == len(of_seeds) else None
            summary[f"{name}{MEAN}"] = round(found.mean, 6) if found else None
            summary[f"{name}{DEVIATION}"] = round(found.std, 6) if found else None
    return summary


def seed_metrics(metrics: Metrics) -> dict[str, SeedMetric]:
    """Return the summary of `over_seeds` by the metric's name."""
    found = {}
    for name, value in metrics.items():
        if name.endswith((MEAN, DEVIATION)):
            continue
        mean, std = metrics.get(f"{name}{MEAN}"), metrics.get(f"{name}{DEVIATION}")
        found[name] = SeedMetric(value)
        if mean is not None and std is not None:
            found[name] = SeedMetric(value, OverSeeds(mean, std))
    return found
