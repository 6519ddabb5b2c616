"""Trains the same thing once a seed."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from framemix.jobs.lifeline import end_with_parent
from framemix.jobs.scratch import link
from framemix.metrics.accuracy import parameter_counts
from framemix.metrics.seeds import Figures, over_seeds
from framemix.models import TrainedModel, load_model
from framemix.tables import write_json
from framemix.training.processes import process_rank
from framemix.training.run import OUTPUTS, Machine, Run, train


def train_seeds(
    start: Callable[[int], Run],
    seeds: Sequence[int],
    judge: Callable[[TrainedModel], Figures],
    given: Figures,
    target: Path,
    machine: Machine,
) -> Figures:
    """Train `start(seed)` for each seed; write the first seed's outputs, and return all metrics.

    `judge` gives the figures of merit of a model. metrics.json has the first seed's, those over
    all seeds, and what is the same for each: `given` and the counts of parameters. Of the
    processes that train together only the first returns; the others end here.
    """
    if process_rank():
        end_with_parent()  # it would wait for the others for ever
    figures: list[Figures] = []
    counts: Figures = {}
    for seed in seeds:
        run = start(seed)
        done = train(run, machine)
        if process_rank():
            continue
        if seed == seeds[0]:
            counts = parameter_counts(run.network)
            for name in OUTPUTS:
                link(done / name, target / name)
        figures.append(judge(load_model(done / "model.safetensors")))
    if process_rank():
        sys.exit()
    metrics = {**over_seeds(figures), **given, **counts}
    write_json(target / "metrics.json", metrics)
    return metrics
