"""Labelled clips, and what a model predicts for the windows that slide over them."""

# W windows, K classes

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np

from framemix.datasets.clips import folder_of
from framemix.datasets.layouts.layout import Found, find_videos
from framemix.datasets.layouts.registry import LABELLED
from framemix.errors import DatasetError, some_of
from framemix.inference.classifier import Classifier
from framemix.inference.clips import USUAL_LIMITS, Sliding
from framemix.inference.prediction import ClipPrediction, Result, predict_videos
from framemix.jobs.terminal import print_text
from framemix.metrics.measures import Floats

ROUNDED = 1e-6  # seconds: a window may begin this much before its stretch


@dataclass(frozen=True)
class LabelledClip:
    """A video, or a stretch of one: log probabilities (W, K) of its windows, from first to last.

    `group` is the person, or the video where the list does not name one.
    """

    label: str
    group: str
    ends: Floats  # (W,), seconds of the video
    log_p: Floats


def listed_videos(path: Path, classes: Sequence[str]) -> list[Found]:
    """Return the videos of a list or folder. Raises DatasetError for labels that are no classes."""
    found = find_videos(LABELLED, path, "CLIPS")
    for line in found.notices:
        print_text(line, error=True)
    others = {one.label for one in found if not one.reason} - {*classes}
    if others:
        raise DatasetError(
            f"CLIPS = {path}: labels {some_of(others)}; allowed: the model's classes, "
            f"{', '.join(classes)}"
        )
    return list(found)


def predicted_clips(
    classifier: Classifier, found: Sequence[Found], path: Path, sliding: Sliding
) -> tuple[list[LabelledClip], list[str]]:
    """Return the clips of `found`, which `path` lists, and a line for each that cannot be used.

    Each file is decoded once. A stretch has the windows that lie within it.
    """
    folder = folder_of(path)
    errors = [f"{folder / one.video}: {one.reason}" for one in found if one.reason]
    files: dict[Path, list[Found]] = {}
    for one in found:
        if not one.reason:
            files.setdefault(folder / one.video, []).append(one)
    clips: list[LabelledClip] = []
    for result in predict_videos(classifier, list(files), sliding, USUAL_LIMITS):
        if result.error is not None:
            errors.append(result.error)
            continue
        for one in files[result.video]:
            clip = _clip(one, result)
            if clip is None:
                errors.append(f"{result.video}: no window of {sliding.window:g} s {_within(one)}")
            else:
                clips.append(clip)
    return clips, errors


def _clip(found: Found, result: Result) -> LabelledClip | None:
    inside = [prediction for prediction in result.predictions if _is_within(prediction, found)]
    if not inside:
        return None
    shares = np.stack([prediction.probabilities for prediction in inside]).astype(np.float64)
    return LabelledClip(
        label=found.label,
        group=found.group or found.video,
        ends=np.array([prediction.end for prediction in inside]),
        log_p=np.log(np.maximum(shares, np.finfo(np.float32).tiny)),  # one may have become 0
    )


def _is_within(prediction: ClipPrediction, found: Found) -> bool:
    start, end = found.start or 0.0, inf if found.end is None else found.end
    return prediction.start >= start - ROUNDED and prediction.end <= end + ROUNDED


def _within(found: Found) -> str:
    end = "the end" if found.end is None else f"{found.end:g} s"
    return f"lies between {found.start or 0:g} s and {end}"
