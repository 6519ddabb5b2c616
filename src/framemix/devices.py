"""Which device a stage computes on."""

import re

import torch

from framemix.errors import ModelError


def resolve_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is CUDA where there is one. Raises ModelError."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ModelError(f"device = {name}: allowed: auto, cpu, cuda or cuda:N")
    available = torch.cuda.is_available()
    if name.startswith("cuda") and not available:
        raise ModelError(f"device = {name}: no CUDA device here; allowed: auto, cpu")
    return torch.device(("cuda" if available else "cpu") if name == "auto" else name)
