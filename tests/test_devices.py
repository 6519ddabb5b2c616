"""What users may rely on when they choose a device."""

import pytest
import torch

from framemix.devices import resolve_device
from framemix.errors import ModelError


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_one_clear_error() -> None:
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(ModelError, match=r"^device = cuda:1: .* allowed: auto, cpu"):
        resolve_device("cuda:1")


def test_a_device_of_a_number_that_is_not_there_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ModelError, match=r"^device = cuda:2: allowed: cuda:N, N below 2$"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["foo", "meta", "cuda:", "mps", ""])
def test_a_device_of_another_kind_is_one_clear_error(name: str) -> None:
    with pytest.raises(ModelError, match=f"^device = {name}: allowed: auto, cpu, cuda or cuda:N"):
        resolve_device(name)
