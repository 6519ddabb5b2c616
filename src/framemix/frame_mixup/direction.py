"""Evaluates a network on videos, and on the same videos played backward."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from framemix.datasets.clips import Clip, clip_name
from framemix.frame_mixup.classes import BACKWARD, evaluated_clips
from framemix.frame_mixup.predictions import VideoPrediction
from framemix.metrics.accuracy import RANKS, ranked_hits
from framemix.models import TrainedModel
from framemix.store import MixedStore
from framemix.training.data import examples_of, labels_of
from framemix.training.prediction import predict

# Shapes: N clips, K classes.


def evaluate_direction(
    model: TrainedModel,
    store: MixedStore,
    videos: Sequence[Clip],
    partners: Mapping[str, str],
    *,
    batch_size: int,
    device: torch.device,
) -> list[VideoPrediction]:
    """Return the predictions of `model` for the videos of the evaluation.

    `partners` has the class that is a class's reversal.
    """
    asked = evaluated_clips(videos)
    directed = [video for video in asked if partners.get(video.class_name) in model.classes]
    forward = examples_of(store, [clip_name(video) for video in asked])
    backward = examples_of(store, [f"{clip_name(video)}{BACKWARD}" for video in directed])
    scores = predict(model, [*forward, *backward], batch_size=batch_size, device=device)  # (N, K)
    reversed_scores = dict(zip(directed, scores[len(asked) :], strict=True))
    hits = ranked_hits(scores, labels_of(forward + backward))

    def prefers(video: Clip, clip: Tensor, true: str) -> int:
        pair = (video.class_name, partners[video.class_name])
        return int(_better(model.classes, clip, pair) == true)

    return [
        VideoPrediction(
            video=clip_name(video),
            frames=video.frames,
            top1=int(hit[0]),
            top5=int(hit.any()) if len(model.classes) > RANKS else None,
            forward=None if back is None else prefers(video, score, video.class_name),
            backward=None if back is None else prefers(video, back, partners[video.class_name]),
        )
        for video, score, hit in zip(asked, scores, hits, strict=False)
        for back in [reversed_scores.get(video)]
    ]


def _better(classes: Sequence[str], scores: Tensor, pair: tuple[str, str]) -> str:
    """Return the class of the pair that scores higher; of equals, the first by label."""
    return max(sorted(pair), key=lambda name: float(scores[classes.index(name)]))
