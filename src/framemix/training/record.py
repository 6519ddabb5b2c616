"""The record, in a model, of the clips that it was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from framemix.datasets.clips import Clip
from framemix.datasets.groups import Scope, clusters_of, leak_share
from framemix.datasets.origin import Origin
from framemix.mixing import MixSettings
from framemix.models.trained_on import TrainedOn


@dataclass(frozen=True)
class Part:
    """The clips of one dataset, of which a run uses those in train and val.

    `scope` states whether a group belongs to one class or to all.
    """

    origin: Origin
    clips: Sequence[Clip]
    scope: Scope


def trained_on(
    parts: Sequence[Part], mix: MixSettings, start: TrainedOn | None = None
) -> TrainedOn:
    """Return the record before the training, which has no metrics yet."""
    parts = [replace(part, clips=_of_training(part.clips)) for part in parts]
    clips = [clip for part in parts for clip in part.clips]
    subsets = [clip.subset for clip in clips]
    clusters = [
        (number, cluster)
        for number, part in enumerate(parts)
        for cluster in clusters_of(part.clips, part.scope)
    ]
    leak = leak_share(clusters, subsets) if all(clip.group for clip in clips) else None
    seconds = [_seen(clip, mix) for clip in clips if clip.subset == "train" and clip.seconds]
    return TrainedOn(
        videos=tuple(part.origin for part in parts),
        train_clips=subsets.count("train"),
        val_clips=subsets.count("val"),
        clip_seconds=round(median(seconds), 3) if seconds else None,
        leak_share=None if leak is None else round(leak, 6),
        metrics={},
        start=start,
    )


def _of_training(clips: Sequence[Clip]) -> list[Clip]:
    return [clip for clip in clips if clip.subset in ("train", "val")]


def _seen(clip: Clip, mix: MixSettings) -> float:
    """Return the seconds of a clip that are mixed: the whole clip or its window."""
    _, frames = mix.span(clip.frames)
    return clip.seconds * frames / clip.frames
