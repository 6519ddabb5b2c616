"""Starts a video ResNet from the weights of an image ResNet, in torchvision's format."""

import hashlib
import shutil
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from framemix.errors import ModelError, some_of
from framemix.jobs.atomic import replacing
from framemix.models.config import ImageWeights
from framemix.models.resnet import ResNet, inflate
from framemix.validation import named

TIMEOUT_SECONDS = 60


def load_image_weights(network: ResNet, source: ImageWeights) -> str:
    """Put the state dict of `source.weights` into `network`; returns the file's SHA-256.

    Kernels (out, in, k, k) are inflated to the frames of the network's kernels. The classifier is
    used if it has as many classes. Downloads stay in torch's own cache. Raises ModelError, with the
    network unchanged, when the file is missing, the URL cannot be reached, or checksum, keys or
    shapes are wrong.
    """
    if source.misfit:
        raise ModelError(named(source.misfit))
    weights = str(source.weights)
    try:
        path = _local(source)
        actual = _sha256(path)
        if source.digest and not actual.startswith(source.digest):
            raise ModelError(f"SHA-256 is {actual}; allowed: {source.digest}")
        network.load_state_dict(_fitted(network, _read(path)))
    except ModelError as error:
        raise ModelError(f"weights = {weights}: {error}") from None
    return actual


def _local(source: ImageWeights) -> Path:
    """Return the file, downloaded if it is a URL and not in the cache yet."""
    weights, digest = str(source.weights), source.digest
    if not source.is_url:
        return Path(weights)
    path = Path(torch.hub.get_dir(), "checkpoints", Path(weights).name)
    if not path.is_file() or not _sha256(path).startswith(str(digest)):
        _download(weights, path)
    return path


def _download(url: str, path: Path) -> None:
    # torch.hub.download_url_to_file would wait for ever for a server that stops sending.
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            replacing(path, shared=True) as partial,  # several processes may download together
            urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response,
            partial.open("wb") as file,
        ):
            shutil.copyfileobj(response, file)
    except (OSError, HTTPException) as error:
        raise ModelError(
            f"cannot be downloaded ({error}); allowed: a URL that this machine reaches, or a file"
        ) from None


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})") from None


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler may raise anything for a stranger's file
        raise ModelError(f"not a PyTorch file of tensors alone ({type(error).__name__})") from error
    if not isinstance(content, Mapping) or not all(
        isinstance(value, Tensor) for value in content.values()
    ):
        raise ModelError("not a state dict; allowed: a mapping of names to tensors")
    return content


def _fitted(network: ResNet, image: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a complete state dict of `network`, with the values of `image` where it has them."""
    own = network.state_dict()
    trunk = {name for name in own if not name.startswith(("nonlocal_blocks.", "fc."))}
    # Files from before PyTorch 0.4 do not count batches.
    needed = {name for name in trunk if not name.endswith("num_batches_tracked")}
    _refuse("lacks", needed - image.keys())
    _refuse("has unknown", image.keys() - own.keys())
    fitted = {name: _inflated(image[name], own[name]) for name in trunk & image.keys()}
    classifier = {name: image[name] for name in ("fc.weight", "fc.bias") if name in image}
    if all(value.shape == own[name].shape for name, value in classifier.items()):
        fitted |= classifier
    _refuse("has other shapes in", {k for k, v in fitted.items() if v.shape != own[k].shape})
    _refuse("is not finite in", {k for k, v in fitted.items() if not v.sum().isfinite()})
    return {**own, **fitted}


def _inflated(value: Tensor, own: Tensor) -> Tensor:
    return inflate(value.unsqueeze(2), own.shape[2]) if value.ndim == 4 and own.ndim == 5 else value


def _refuse(what: str, keys: set[str]) -> None:
    if keys:
        raise ModelError(f"{what} {some_of(keys)}")
