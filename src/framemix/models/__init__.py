"""The networks, how to build one from its configuration, and the file that holds a trained one.

What maps clips to classes belongs here, with the settings of its layers. How its weights
are learnt does not (`training`), nor where clips come from (`store`).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framemix.models.config import ModelConfig
    from framemix.models.input import IMAGENET_MEAN, IMAGENET_STD, normalise
    from framemix.models.registry import build_model
    from framemix.models.saved import TrainedModel, load_model, save_model

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "ModelConfig",
    "TrainedModel",
    "build_model",
    "load_model",
    "normalise",
    "save_model",
]

HOMES = {
    "IMAGENET_MEAN": "input",
    "IMAGENET_STD": "input",
    "ModelConfig": "config",
    "TrainedModel": "saved",
    "build_model": "registry",
    "load_model": "saved",
    "normalise": "input",
    "save_model": "saved",
}


def __getattr__(name: str) -> Any:
    """Import on first use: whoever needs `framemix.models.config` alone does not wait for torch."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
