"""One run of `framemix bench networks`: a training, and what its last epoch's network answers."""

import io
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import torch

from framemix.benchmarks.candidates import Candidate
from framemix.datasets.clips import Clip
from framemix.metrics.accuracy import parameter_counts
from framemix.models import build_model
from framemix.pretraining.pretrain import model_config
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


def run_job(job: Job) -> Outcome:
    """Find out how long an epoch takes, train for the job's time, judge its fold's val clips."""
    store = MixedStore(job.store)
    # Just before, in the same process: the load is the one that training will have.
    epochs = epochs_in(job.seconds, _train(_run(job, store, CALIBRATION_EPOCHS), job).an_epoch)
    run = _run(job, store, epochs)
    taken = _train(run, job)
    hits, predicting = _judge(run, split_examples(store, job.split, "val"), job.device)
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
    """Return a training of that many epochs, from the seed's first weights."""
    classes = class_names(store)
    config = model_config(job.candidate.recipe.model, store.settings, len(classes))
    torch.manual_seed(job.seed)
    clips = split_examples(store, job.split, "train")
    return Run(
        network=build_model(config),
        config=config,
        classes=classes,
        train=clips,
        # Not the val clips: neither time nor the choice of an epoch shall go to them.
        val=clips[:1],
        settings=job.candidate.recipe.model_copy(update={"epochs": epochs, "patience": None}),
        seed=job.seed,
        origin={},
    )


@dataclass(frozen=True)
class _Seconds:
    """What training took: its median epoch, and all together."""

    an_epoch: float
    all_epochs: float


def _train(run: Run, job: Job) -> _Seconds:
    """Train the run's network to its last epoch."""
    # What is printed, a line an epoch, would hide the tables.
    quiet = io.StringIO()
    with (
        tempfile.TemporaryDirectory(dir=job.store.parent) as scratch,
        redirect_stdout(quiet),
        redirect_stderr(quiet),
    ):
        machine = Machine(job.device, 1, 1, workers=0, resident="auto", scratch=Path(scratch))
        timing = json.loads((train(run, machine) / "timing.json").read_text())
    return _Seconds(max(timing["seconds_an_epoch"], SHORTEST_EPOCH), timing["seconds"])


def _judge(
    run: Run, examples: Sequence[Example], device: torch.device
) -> tuple[dict[str, bool], float]:
    """Return by clip whether the network as it is now has it right, and the seconds it took.

    That is the last epoch's network; the best epoch's is in the file that training wrote.
    """
    model = trained_model(run)
    for _ in range(2):  # the second time counts, when all is loaded
        start = time.perf_counter()
        answers = predict(
            model, examples, batch_size=run.settings.batch_size, device=device
        ).argmax(1)
        seconds = time.perf_counter() - start
    right = (answers == labels_of(examples)).tolist()
    return dict(zip([example.row.clip for example in examples], right, strict=True)), seconds
