"""Repeats a training with several seeds."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from framemix.jobs.lifeline import end_with_parent
from framemix.jobs.scratch import link
from framemix.metrics.accuracy import parameter_counts
from framemix.metrics.intervals import ClipMetrics
from framemix.metrics.seeds import Metrics, over_seeds
from framemix.models import TrainedModel, load_model, save_model
from framemix.models.trained_on import TrainedOn
from framemix.tables import write_json
from framemix.training.held_out import learning_and_choosing
from framemix.training.processes import process_rank
from framemix.training.run import HISTORY, LAST_MODEL, MODEL, OUTPUTS, Machine, Run, train


def train_seeds(
    start: Callable[[int], Run],
    seeds: Sequence[int],
    evaluate: Callable[[TrainedModel], Sequence[ClipMetrics]],
    given: Metrics,
    clusters: Mapping[str, str],
    target: Path,
    machine: Machine,
    record: TrainedOn | None = None,
) -> Metrics:
    """Train `start(seed)` for each seed; write the first seed's outputs, and return all metrics.

    The first seed's history grows in `target` with each epoch. The written model contains `record`,
    with its metrics and their intervals. A run is not identified by its record, so that a new name
    for the same videos trains nothing.

    `evaluate` returns a model's metrics, those on the same clips together. metrics.json has the
    first seed's metrics, those over all seeds, and those that are the same for each seed: `given`
    and the counts of parameters; `top1_last` is the last epoch's top-1. `clusters` has the cluster
    of each clip, by name. Where several processes train together, only the first returns; the
    others end here.
    """
    if process_rank():
        end_with_parent()  # without its parent, it would wait for the others for ever
    of_seeds: list[Metrics] = []
    counts: Metrics = {}
    for seed in seeds:
        run = _with_held_out(start(seed), clusters)
        done = train(run, machine, live=target / HISTORY if seed == seeds[0] else None)
        if process_rank():
            continue
        trained = load_model(done / MODEL)
        evaluated, last = evaluate(trained), evaluate(load_model(done / LAST_MODEL))
        of_seeds.append({**_metrics(evaluated), "top1_last": _metrics(last)["top1"]})
        if seed == seeds[0]:
            counts = parameter_counts(run.network)
            for name in OUTPUTS:
                link(done / name, target / name)
            if record is not None:
                intervals = {k: v for each in evaluated for k, v in each.intervals.items()}
                results = {"metrics": of_seeds[0], "intervals": intervals}
                whole = record.model_copy(update={**results, **_how(run, seeds)})
                save_model(target / MODEL, replace(trained, trained_on=whole))
    if process_rank():
        sys.exit()
    metrics = {**over_seeds(of_seeds), **given, **counts}
    write_json(target / "metrics.json", metrics)
    return metrics


def _with_held_out(run: Run, clusters: Mapping[str, str]) -> Run:
    """Return the run; if train clips choose its epoch, without these in train."""
    train, val = learning_and_choosing(run.train, run.val, run.settings.select, clusters)
    return replace(run, train=train, val=val)


def _how(run: Run, seeds: Sequence[int]) -> dict[str, Any]:
    """Return how a model was trained, as its record has it."""
    return {
        "train_clips": len(run.train),
        "select": run.settings.select,
        "settings": run.settings.recipe.model_dump(mode="json"),
        "seeds": tuple(seeds),
    }


def _metrics(evaluated: Sequence[ClipMetrics]) -> dict[str, float | None]:
    return {name: value for each in evaluated for name, value in each.metrics.items()}
