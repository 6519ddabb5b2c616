"""The clips and classes of a fine-tuning task (paper A, section IV).

This module does not import the trainer, because evaluation needs it too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from framemix.datasets.clips import Clip, DriverClip, Subset
from framemix.datasets.splits import TASK_STATES
from framemix.finetuning.task import Task
from framemix.store import MixedStore
from framemix.tables import read_table
from framemix.training.data import Example, class_names, split_examples

DROWSY = "drowsy"


@dataclass(frozen=True)
class FinetuneData:
    """The two mixed stores and their splits."""

    ucf101: MixedStore
    ucf101_split: Sequence[Clip]
    rldd: MixedStore
    rldd_split: Sequence[Clip]

    @classmethod
    def read(cls, ucf101: Path, ucf101_split: Path, rldd: Path, rldd_split: Path) -> "FinetuneData":
        """Open the store folders and read the split tables."""
        return cls(
            ucf101=MixedStore(ucf101),
            ucf101_split=read_table(ucf101_split, Clip),
            rldd=MixedStore(rldd),
            rldd_split=read_table(rldd_split, DriverClip),
        )

    def classes(self, task: Task) -> list[str]:
        """Return the class names of a task in the order of their labels."""
        if task == "drowsy_class":
            return [*class_names(self.ucf101), DROWSY]
        return list(TASK_STATES[task])

    def examples(self, task: Task, subset: Subset) -> list[Example]:
        """Return the clips of a task in one subset of both splits."""
        classes = self.classes(task)
        drivers = [
            replace(example, label=classes.index(example.row.class_name))
            for example in self.drivers(subset)
            if example.row.class_name in classes
        ]
        if task != "drowsy_class":
            return drivers
        return [*split_examples(self.ucf101, self.ucf101_split, subset), *drivers]

    def drivers(self, subset: Subset) -> list[Example]:
        """Return all driver clips of one subset, with their store's labels."""
        return split_examples(self.rldd, self.rldd_split, subset)


def task_of(classes: Sequence[str]) -> Task:
    """Return the task whose classes a fine-tuned model has."""
    if "alert" not in classes:
        return "drowsy_class"
    return "three_state" if "low_vigilant" in classes else "alert_drowsy"
