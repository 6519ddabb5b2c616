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
    count = torch.cuda.device_count()
    if name.startswith("cuda:") and int(name.removeprefix("cuda:")) >= count:
        raise ModelError(f"device = {name}: allowed: cuda:N, N below {count}")
    return torch.device(("cuda" if available else "cpu") if name == "auto" else name)
