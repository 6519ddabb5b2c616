"""A model's predictions for videos."""

# K classes

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from framemix.errors import MixingError, VideoError
from framemix.inference.classifier import Classifier, Probabilities
from framemix.inference.clips import BATCH, MixedClip, Sliding, isolated_clips
from framemix.jobs.isolation import Limits
from framemix.jobs.progress import track


@dataclass(frozen=True)
class ClipPrediction:
    """A model's probabilities (K,) for the stretch from `start` to `end` seconds."""

    start: float
    end: float
    probabilities: Probabilities


@dataclass(frozen=True)
class Result:
    """The predictions for a video, or the error that prevented them."""

    video: Path
    predictions: Sequence[ClipPrediction] = ()
    error: str | None = None


def predict_videos(
    classifier: Classifier, videos: Sequence[Path], sliding: Sliding | None, limits: Limits
) -> Iterator[Result]:
    """Yield the result of each video: one prediction for the whole video, or one per window."""
    # One bar at a time: over the windows of each video, or over the videos.
    of_videos = sliding is None or (sliding.usual and len(videos) > 1)
    for video in track(videos, total=len(videos), label="videos") if of_videos else videos:
        try:
            clips = isolated_clips(video, classifier.mix, sliding, limits, bar=not of_videos)
            yield Result(video, [prediction for _, prediction in predict_clips(classifier, clips)])
        except (VideoError, MixingError) as error:
            yield Result(video, error=str(error))


def predict_clips(
    classifier: Classifier, clips: Iterable[MixedClip]
) -> Iterator[tuple[MixedClip, ClipPrediction]]:
    """Yield each clip with its prediction, computed batch by batch."""
    remaining = iter(clips)
    while batch := list(islice(remaining, BATCH)):
        outputs = classifier.probabilities(np.stack([clip.mixed for clip in batch]))
        for clip, probabilities in zip(batch, outputs, strict=True):
            yield clip, ClipPrediction(clip.start, clip.end, probabilities)


def likeliest(
    classifier: Classifier, clips: Iterable[MixedClip], class_name: str | None
) -> MixedClip:
    """Return the clip with the highest probability of `class_name`, or else of any class."""
    classes = classifier.classes
    wanted = [classes.index(class_name)] if class_name in classes else list(range(len(classes)))
    clip, _ = max(
        predict_clips(classifier, clips), key=lambda pair: pair[1].probabilities[wanted].max()
    )
    return clip
