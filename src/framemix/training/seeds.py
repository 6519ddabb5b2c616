"""Repeats a training with several seeds."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from framemix.jobs.lifeline import end_with_parent
from framemix.jobs.scratch import link
from framemix.metrics.accuracy import parameter_counts
from framemix.metrics.intervals import Judgement
from framemix.metrics.seeds import Metrics, over_seeds
from framemix.models import TrainedModel, load_model, save_model
from framemix.models.trained_on import TrainedOn
from framemix.tables import write_json
from framemix.training.processes import process_rank
from framemix.training.run import MODEL, OUTPUTS, Machine, Run, train


def train_seeds(
    start: Callable[[int], Run],
    seeds: Sequence[int],
    judge: Callable[[TrainedModel], Sequence[Judgement]],
    given: Metrics,
    target: Path,
    machine: Machine,
    record: TrainedOn | None = None,
) -> Metrics:
    """Train `start(seed)` for each seed; write the first seed's outputs, and return all metrics.

    The written model contains `record`, with its metrics and their intervals. A run is not
    identified by its record, so that a new name for the same videos trains nothing.

    `judge` returns a model's metrics, those on the same clips together. metrics.json has those of
    the first seed, those over all seeds, and those that are the same for each seed: `given` and the
    counts of parameters. Where several processes train together, only the first returns; the others
    end here.
    """
    if process_rank():
        end_with_parent()  # without its parent, it would wait for the others for ever
    figures: list[Metrics] = []
    counts: Metrics = {}
    for seed in seeds:
        run = start(seed)
        done = train(run, machine)
        if process_rank():
            continue
        trained = load_model(done / MODEL)
        judged = judge(trained)
        figures.append({k: v for each in judged for k, v in each.figures.items()})
        if seed == seeds[0]:
            counts = parameter_counts(run.network)
            for name in OUTPUTS:
                link(done / name, target / name)
            if record is not None:
                intervals = {k: v for each in judged for k, v in each.intervals.items()}
                found = {"figures": figures[0], "intervals": intervals}
                said = record.model_copy(update=found)
                save_model(target / MODEL, replace(trained, trained_on=said))
    if process_rank():
        sys.exit()
    metrics = {**over_seeds(figures), **given, **counts}
    write_json(target / "metrics.json", metrics)
    return metrics
