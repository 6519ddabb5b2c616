"""The engine that trains a network on a mixed store: batches, augmentation, loop, checkpoints.

Code that every training shares belongs here; dvc.yaml names the folder. The network, its classes
and its first weights do not: `pretraining` and `finetuning` choose them.
"""

import sys
from importlib.abc import MetaPathFinder
from typing import Any

# Packages that torchmetrics imports where they are installed, for metrics that nobody uses here.
UNUSED = ("matplotlib", "transformers")


class _BeforeTorchmetrics(MetaPathFinder):
    """Hides those packages from torchmetrics, of which Lightning needs one class.

    To import them takes seconds of every training's start.
    """

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname != "torchmetrics":
            return
        sys.meta_path.remove(self)
        from lightning_utilities.core.imports import RequirementCache

        check = RequirementCache._check_available

        def check_used(cache: RequirementCache) -> None:
            check(cache)
            if str(cache.requirement).startswith(UNUSED):
                cache.available = False

        RequirementCache._check_available = check_used  # type: ignore[method-assign, assignment]


sys.meta_path.insert(0, _BeforeTorchmetrics())
