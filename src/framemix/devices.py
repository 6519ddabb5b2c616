"""Which device a stage computes on."""

import torch

from framemix.errors import ModelError


def resolve_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is CUDA where there is one. Raises ModelError."""
    available = torch.cuda.is_available()
    if name.startswith("cuda") and not available:
        raise ModelError(f"runtime.device = {name}: no CUDA device here; allowed: auto, cpu")
    return torch.device(("cuda" if available else "cpu") if name == "auto" else name)
