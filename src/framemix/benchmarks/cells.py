"""A cell of `framemix bench videos`: one training, and the file that its predictions are in."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from framemix.benchmarks.runs import run_of, train_to_end
from framemix.datasets.clips import Clip, clip_name
from framemix.jobs.fingerprint import code_fingerprint
from framemix.jobs.scratch import Unit
from framemix.metrics.accuracy import parameter_counts
from framemix.mixing import MixSettings
from framemix.pretraining.settings import PretrainModel
from framemix.store import MixedStore
from framemix.tables import MaybeFloat, Row, read_table, write_table
from framemix.training.data import split_examples
from framemix.training.prediction import predict
from framemix.training.run import trained_model
from framemix.your_videos.settings import Architecture

PREDICTIONS = "predictions.csv"
By = Literal["group", "random"]


@dataclass(frozen=True)
class Cell:
    """Which network is trained on which clips; `fold` validates of those that `by` divides."""

    network: Architecture
    by: By
    mix: MixSettings
    seed: int
    fold: int


class CellRow(Row):
    """What a cell's network predicts for a val clip; `probability` is that of its own class.

    All columns before `clip` are the cell's: tables of several cells can be put together. Seconds
    are those of training and predicting.
    """

    network: str
    by: str
    mix: str
    seed: int
    fold: int
    parameters: int
    leak_share: MaybeFloat
    seconds: float
    cpu_seconds: float
    clip: str
    group: str
    true: str
    predicted: str
    probability: float

    @property
    def is_right(self) -> bool:
        """Whether the likeliest class is the clip's own."""
        return self.predicted == self.true


@dataclass(frozen=True)
class CellJob:
    """A cell with all that a process needs for it; `folder` is that of all cells."""

    cell: Cell
    recipe: PretrainModel
    store: Path
    split: Sequence[Clip]
    leak_share: float | None
    device: torch.device
    folder: Path


def mix_name(mix: MixSettings) -> str:
    """Return how tables call a way to mix whole videos."""
    return f"{mix.method}, {mix.segments} segments"


def finish_cell(job: CellJob) -> list[CellRow]:
    """Return a cell's predictions: those in its file, or of a training now.

    The file is used again while recipe, clips, split and code are what they were.
    """
    store, cell = MixedStore(job.store), job.cell
    unit = Unit(
        make=partial(_train, job, store),
        settings={
            **vars(cell),
            "mix": store.settings.model_dump(),
            "recipe": job.recipe.model_dump(),
            "split": [(clip_name(clip), clip.group, clip.subset) for clip in job.split],
            "store": [store.checksums(), *(row.model_dump() for row in store.index)],
        },
        files=[],
        code=code_fingerprint(__file__),
    )
    return read_table(unit.finish(job.folder) / PREDICTIONS, CellRow)


def _train(job: CellJob, store: MixedStore, folder: Path) -> None:
    cell, start, cpu_start = job.cell, time.perf_counter(), time.process_time()
    run = run_of(job.recipe, store, job.split, cell.seed)
    train_to_end(run, job.device, folder)
    model, size = trained_model(run), job.recipe.batch_size
    examples = split_examples(store, job.split, "val")
    probabilities = predict(model, examples, batch_size=size, device=job.device)
    known: dict[str, Any] = {
        **vars(cell),
        "mix": mix_name(cell.mix),
        "parameters": parameter_counts(run.network)["parameters"],
        "leak_share": job.leak_share,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu_start, 1),
    }
    groups = {clip_name(clip): clip.group for clip in job.split}
    rows = [
        CellRow(
            **known,
            clip=example.row.clip,
            group=groups[example.row.clip],
            true=model.classes[example.label],
            predicted=model.classes[int(each.argmax())],
            probability=float(each[example.label]),
        )
        for example, each in zip(examples, probabilities, strict=True)
    ]
    write_table(folder / PREDICTIONS, CellRow, rows)
