"""The record of a model's training, which is kept in the model's file."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from framemix.datasets.origin import Origin

# The epoch that is kept: the best by val clips, the last, or the best by train clips held out.
Select = Literal["best", "last", "held_out"]


class TrainedOn(BaseModel):
    """The clips that a model has learnt from, and how it did on those that validate.

    `clip_seconds` is the median length of what it saw of a train clip, `leak_share` the share of
    the val clips whose group or subject is in train too; None where that is not known. `metrics`
    are the metrics that its own stage found on the val clips, and `intervals` the 95 % intervals of
    those that have one. `select` is how the kept epoch was chosen, `settings` all those of the
    training (see `TrainingSettings`), and `seeds` those of the runs, of which this is the first.
    `start` is what the first weights of a fine-tuned model were trained on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    videos: tuple[Origin, ...]
    train_clips: int
    val_clips: int
    clip_seconds: float | None
    leak_share: float | None
    metrics: dict[str, float | None]
    # Earlier versions wrote none of these, and kept the best epoch.
    intervals: dict[str, tuple[float, float]] = {}
    select: Select = "best"
    settings: dict[str, Any] = {}
    seeds: tuple[int, ...] = ()
    start: "TrainedOn | None"

    @property
    def names(self) -> str:
        """The datasets, by name."""
        return " and ".join(origin.name for origin in self.videos)

    @property
    def summary(self) -> str:
        """The datasets, the number of train clips and, where it is known, the clips' length."""
        length = "" if self.clip_seconds is None else f", {self.clip_seconds:g} s in the median"
        return f"{self.names}: {self.train_clips} train clips{length}"

    @property
    def drawn(self) -> str:
        """The datasets of the rendered sample among them, by name."""
        return " and ".join(origin.name for origin in self.videos if origin.drawn)


def caveat(trained_on: TrainedOn | None) -> str | None:
    """Return, in a sentence, that a model knows drawn videos alone; None where it does not."""
    if trained_on is None:
        return None
    if trained_on.drawn:
        return (
            f"This model was trained on the rendered sample ({trained_on.drawn}): it has seen only "
            f"drawings, and is of no use on real videos or drivers."
        )
    if trained_on.start is not None and trained_on.start.drawn:
        return f"Its first weights were trained on the rendered sample ({trained_on.start.drawn})."
    return None


def recipe_of(trained_on: TrainedOn | None) -> dict[str, Any]:
    """Return how a model was trained, by the names of params.yaml, settings in settings joined."""
    if trained_on is None:
        return {}
    recipe = dict(trained_on.settings)
    augment = recipe.pop("augment", {})
    joined = {f"augment.{name}": value for name, value in augment.items()}
    return {"seeds": list(trained_on.seeds), **recipe, **joined}


def kept_epoch(trained_on: TrainedOn | None, subset: str = "val") -> str:
    """Return, in a sentence, which epoch was kept, for metrics of the clips of `subset`."""
    return kept_by("best" if trained_on is None else trained_on.select, subset)


def kept_by(select: Select, subset: str = "val") -> str:
    """Return the sentence of `kept_epoch`."""
    if select == "best" and subset == "val":
        return "The kept epoch is the best by these val clips: the metrics are slightly too good."
    kept = {
        "best": "the best by the val clips",
        "last": "the last",
        "held_out": "the best by train clips that were held out",
    }
    return f"The kept epoch is {kept[select]}: the {subset} clips did not choose it."
