"""Trainings of `framemix bench networks` and `videos`, evaluated after their last epoch."""

import io
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch

from framemix.benchmarks.candidates import Candidate
from framemix.datasets.clips import Clip
from framemix.jobs.lifeline import end_with_parent
from framemix.metrics.accuracy import parameter_counts
from framemix.pretraining.pretrain import draw_network, model_config
from framemix.pretraining.settings import PretrainModel
from framemix.store import MixedStore
from framemix.training.data import Example, class_names, labels_of, split_examples
from framemix.training.prediction import predict
from framemix.training.run import Machine, Run, train, trained_model

CALIBRATION_EPOCHS = 3  # of which the median counts: the first one warms up
SHORTEST_EPOCH = 0.001  # seconds: timing.json knows no less


@dataclass(frozen=True)
class Job:
    """One run of about so many seconds of training, with all that a process needs for it."""

    name: str
    candidate: Candidate
    seconds: float
    store: Path
    split: Sequence[Clip]
    fold: int
    seed: int
    device: torch.device


@dataclass(frozen=True)
class Outcome:
    """What a run took, and which of its fold's val clips the last epoch's network has right."""

    seed: int
    parameters: int
    epochs: int
    seconds: float  # of all epochs together
    trained: float  # clips a second
    predicted: float  # clips a second
    hits: Mapping[str, bool]


@contextmanager
def process_pool(processes: int) -> Iterator[Executor]:
    """Yield that many fresh processes, which share the cores."""
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    pool = ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_begin, initargs=(threads,)
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # where one run failed, the others are of no use


def _begin(threads: int) -> None:
    """Make this process one of the pool's."""
    end_with_parent()
    torch.set_num_threads(threads)


def run_job(job: Job) -> Outcome:
    """Find out how long an epoch takes, train for the job's time, evaluate its fold's val clips."""
    store = MixedStore(job.store)
    # Just before, in the same process: the load is the one that training will have.
    calibrated = train_to_end(_run(job, store, CALIBRATION_EPOCHS), job.device, job.store.parent)
    epochs = epochs_in(job.seconds, calibrated.an_epoch)
    run = _run(job, store, epochs)
    taken = train_to_end(run, job.device, job.store.parent)
    hits, predicting = _evaluate(run, split_examples(store, job.split, "val"), job.device)
    return Outcome(
        seed=job.seed,
        parameters=parameter_counts(run.network)["parameters"],
        epochs=epochs,
        seconds=taken.all_epochs,
        trained=len(run.train) / taken.an_epoch,
        predicted=len(hits) / predicting,
        hits=hits,
    )


def epochs_in(seconds: float, epoch_seconds: float) -> int:
    """Return how many epochs of that length come nearest to `seconds`, at least 1."""
    return max(1, round(seconds / epoch_seconds))


def _run(job: Job, store: MixedStore, epochs: int) -> Run:
    recipe = job.candidate.recipe.model_copy(update={"epochs": epochs})
    return run_of(recipe, store, job.split, job.seed)


def run_of(recipe: PretrainModel, store: MixedStore, split: Sequence[Clip], seed: int) -> Run:
    """Return a training of all the recipe's epochs on a split's train clips.

    It starts from the seed's random weights, and does not see the val clips.
    """
    classes = class_names(store)
    config = model_config(recipe.model, store.settings, len(classes))
    torch.manual_seed(seed)
    clips = split_examples(store, split, "train")
    return Run(
        network=draw_network(config, recipe.model),
        config=config,
        classes=classes,
        train=clips,
        # Not the val clips: neither time nor the choice of an epoch shall go to them.
        val=clips[:1],
        settings=recipe.model_copy(update={"patience": None}),
        seed=seed,
        origin={},
    )


@dataclass(frozen=True)
class Seconds:
    """What training took: its median epoch, and all together."""

    an_epoch: float
    all_epochs: float


def train_to_end(run: Run, device: torch.device, folder: Path) -> Seconds:
    """Train the run's network to its last epoch, and leave nothing in `folder`.

    The network in memory is the last epoch's then; the best epoch's was in a file.
    """
    # What is printed, one line per epoch, would hide the tables.
    quiet = io.StringIO()
    with (
        tempfile.TemporaryDirectory(dir=folder) as scratch,
        redirect_stdout(quiet),
        redirect_stderr(quiet),
    ):
        machine = Machine(device, 1, 1, workers=0, resident="auto", scratch=Path(scratch))
        timing = json.loads((train(run, machine) / "timing.json").read_text())
    return Seconds(max(timing["seconds_an_epoch"], SHORTEST_EPOCH), timing["seconds"])


def _evaluate(
    run: Run, examples: Sequence[Example], device: torch.device
) -> tuple[dict[str, bool], float]:
    """Return by clip whether the last epoch's network has it right, and the seconds it took."""
    model = trained_model(run)
    for _ in range(2):  # the second time counts, when all is loaded
        start = time.perf_counter()
        predictions = predict(
            model, examples, batch_size=run.settings.batch_size, device=device
        ).argmax(1)
        seconds = time.perf_counter() - start
    right = (predictions == labels_of(examples)).tolist()
    return dict(zip([example.row.clip for example in examples], right, strict=True)), seconds
