"""The clips and classes of a fine-tuning task (paper A, section IV).

This module does not import the trainer, because evaluation needs it too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from framemix.datasets.clips import STATE_NUMBERS, Clip, DriverClip, Subset
from framemix.datasets.splits import TASK_STATES
from framemix.errors import DatasetError
from framemix.finetuning.task import Task
from framemix.store import MixedStore
from framemix.tables import read_table
from framemix.training.data import Example, class_names, split_examples

DROWSY = "drowsy"


@dataclass(frozen=True)
class FinetuneData:
    """The two mixed stores and their splits; UCF101's only where a task has its classes."""

    ucf101: MixedStore | None
    ucf101_split: Sequence[Clip]
    rldd: MixedStore
    rldd_split: Sequence[Clip]

    @classmethod
    def read(cls, ucf101: tuple[Path, Path] | None, rldd: Path, rldd_split: Path) -> "FinetuneData":
        """Open the store folders and read the split tables, UCF101's where they are named."""
        return cls(
            ucf101=MixedStore(ucf101[0]) if ucf101 else None,
            ucf101_split=read_table(ucf101[1], Clip) if ucf101 else [],
            rldd=MixedStore(rldd),
            rldd_split=read_table(rldd_split, DriverClip),
        )

    @property
    def actions(self) -> MixedStore:
        """UCF101's clips. Raises DatasetError where they are not there."""
        if self.ucf101 is None:
            raise DatasetError("needs = rldd: UCF101's clips are asked for; allowed: ucf101")
        return self.ucf101

    def classes(self, task: Task) -> list[str]:
        """Return the class names of a task in the order of their labels.

        Raises DatasetError if drowsy_class would have an action with the name of a driver's state.
        """
        if task == "drowsy_class":
            names = class_names(self.actions)
            if alike := [name for name in names if name in STATE_NUMBERS]:
                raise DatasetError(
                    f"{self.actions.folder}: a class is called {alike[0]}, as a state of drivers; "
                    f"allowed with the task drowsy_class: classes of other names"
                )
            return [*names, DROWSY]
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
        return [*split_examples(self.actions, self.ucf101_split, subset), *drivers]

    def drivers(self, subset: Subset) -> list[Example]:
        """Return all driver clips of one subset, with their store's labels."""
        return split_examples(self.rldd, self.rldd_split, subset)


def task_of(classes: Sequence[str]) -> Task:
    """Return the task whose classes a fine-tuned model has."""
    if "alert" not in classes:
        return "drowsy_class"
    return "three_state" if "low_vigilant" in classes else "alert_drowsy"
