"""Clips of a store as pictures."""

from pathlib import Path

import torch

from framemix.evaluation.evaluator import Evaluation
from framemix.evaluation.figures import wrong_predictions
from framemix.mixing import Pixels
from framemix.models.input import to_rgb
from framemix.store import IndexRow, MixedStore


def as_rgb(store: MixedStore, row: IndexRow) -> Pixels:
    """Return a clip as uint8 (S, H, W, 3), however it is stored."""
    clip: Pixels = to_rgb(torch.from_numpy(store.read([row])))[0].numpy()
    return clip


def picture_wrong(evaluation: Evaluation, count: int, path: Path) -> None:
    """Picture the most probable wrong predictions of a model, at most `count`."""
    wrong = {
        caption: as_rgb(example.store, example.row)
        for caption, example in evaluation.wrong(count).items()
    }
    wrong_predictions(wrong, path)
