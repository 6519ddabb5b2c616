"""Which clips choose the epoch that is kept: those of val, or some of train that are held out."""

from collections.abc import Mapping, Sequence

from framemix.datasets.splits import group_split
from framemix.errors import DatasetError
from framemix.models.trained_on import Select
from framemix.training.data import Example

PARTS = 5  # of train, one of which is held out


def learning_and_choosing(
    train: Sequence[Example], val: Sequence[Example], select: Select, clusters: Mapping[str, str]
) -> tuple[list[Example], list[Example]]:
    """Return the clips that a run learns from, and those that choose its epoch.

    With `held_out`, these are about a fifth of `train`, which then learns nothing from them, whole
    clusters (`clusters` has each clip's, by name) and the same for every seed. What has a class's
    only clips stays in train. Raises DatasetError where nothing can be held out.
    """
    if select != "held_out" or not (train and val):  # a side without clips is refused later
        return list(train), list(val)
    whose = [clusters[example.row.clip] for example in train]
    classes = [example.row.class_name for example in train]
    sides = group_split(classes, whose, scope="dataset", folds=PARTS, fold=0, seed=0)
    taught = {name for name, side in zip(classes, sides, strict=True) if side == "train"}
    out = {one for one, side in zip(whose, sides, strict=True) if side == "val"}
    out -= {one for one, name in zip(whose, classes, strict=True) if name not in taught}
    if not out:
        raise DatasetError(
            f"select = held_out: none of the {len(set(whose))} groups of the train clips can be "
            f"held out, or a class would have none; allowed: best, last"
        )
    held = [one in out for one in whose]
    return (
        [example for example, is_out in zip(train, held, strict=True) if not is_out],
        [example for example, is_out in zip(train, held, strict=True) if is_out],
    )
