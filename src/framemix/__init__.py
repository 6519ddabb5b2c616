"""Video models on mixed frames: ask a trained model about videos, or mix a video yourself.

>>> import framemix
>>> model = framemix.load("model.safetensors")
>>> model.predict("clip.mp4").likeliest in model.classes
True
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framemix.inference.api import Model, Prediction, load, mix

    __version__: str

__all__ = ["Model", "Prediction", "__version__", "load", "mix"]


def __getattr__(name: str) -> Any:
    """Import on first use: whoever imports framemix for one part of it does not wait for others."""
    if name == "__version__":
        from importlib.metadata import version

        return version("framemix")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from framemix.inference import api

    return getattr(api, name)
