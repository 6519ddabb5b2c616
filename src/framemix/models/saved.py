"""One file holds all that prediction needs: weights, configuration, classes and input settings.

Safetensors: nothing is pickled, so that loading a stranger's model runs none of their code.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from framemix.errors import ModelError, some_of
from framemix.jobs.atomic import replacing
from framemix.models.calibration import Calibration
from framemix.models.clips import logits_of
from framemix.models.config import ModelConfig
from framemix.models.input import Colour, Normalisation
from framemix.models.registry import build_model, parse_config
from framemix.models.trained_on import TrainedOn
from framemix.validation import describe_error

# All under one key: safetensors writes several in random order, and equal models shall be equal
# bytes.
METADATA_KEY = "framemix"

Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class TrainedModel:
    """A network with what turns a video into its input, and its output into class names.

    `mix` holds the mix settings of the store that it was trained on; `mean` and `std` are of RGB
    in [0, 1]. `trained_on` is None of a model that its stage has yet to describe, or of an earlier
    version's, `calibration` of one that was not calibrated. Raises ModelError when there is not one
    name for each of the network's classes, and when the alarm is for another class.
    """

    network: nn.Module
    config: ModelConfig
    classes: list[str]
    mix: dict[str, Any]
    mean: Colour
    std: Colour
    trained_on: TrainedOn | None = None
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        if len(self.classes) != self.config.num_classes:
            raise ModelError(
                f"classes = {len(self.classes)} names: the network has {self.config.num_classes}"
            )
        if self.calibration and self.calibration.alarm not in self.classes:
            raise ModelError(
                f"calibration.alarm = {self.calibration.alarm!r}: "
                f"allowed: {', '.join(self.classes)}"
            )

    def logits(self, clips: Tensor) -> Tensor:
        """Logits (B, classes) of clips as a store holds them, uint8, on the network's device."""
        return logits_of(self.network, clips, self.normalisation) / self.temperature

    @property
    def temperature(self) -> float:
        """What the network's own logits are divided by; 1 without calibration."""
        return self.calibration.temperature if self.calibration else 1.0

    @property
    def normalisation(self) -> Normalisation:
        """What turns stored clips into the network's input."""
        return Normalisation(self.mean, self.std)


class Metadata(BaseModel):
    """What the file holds beside the weights: the other fields of `TrainedModel`."""

    model_config = ConfigDict(extra="forbid")

    config: dict[str, Any]
    classes: list[str]
    mix: dict[str, Any]
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    std: tuple[Deviation, Deviation, Deviation]
    trained_on: TrainedOn | None = None
    calibration: Calibration | None = None
    # That of all else in the file; None: written before there were checksums.
    checksum: str | None = None


def save_model(path: Path, trained: TrainedModel) -> None:
    """Write `trained` as one safetensors file, weights as fp32; equal models give equal bytes."""
    metadata = Metadata(
        config=trained.config.model_dump(),
        classes=trained.classes,
        mix=trained.mix,
        mean=trained.mean,
        std=trained.std,
        trained_on=trained.trained_on,
        calibration=trained.calibration,
    )
    weights = {name: _stored(tensor) for name, tensor in trained.network.state_dict().items()}
    # Without a calibration the file is as earlier versions write it, and read it.
    left_out = {"checksum"} if trained.calibration else {"checksum", "calibration"}
    content = metadata.model_dump(mode="json", exclude=left_out)
    text = _canonical({**content, "checksum": _checksum(content, weights)})
    with replacing(path) as partial:
        # Not save_file, which makes a file that only its owner can read.
        partial.write_bytes(save(weights, metadata={METADATA_KEY: text}))


def load_model(path: Path | str) -> TrainedModel:
    """Read a model that `save_model` wrote: on the CPU, in eval mode.

    Raises ModelError, naming the file, when it is missing, not one of ours or not as it was
    saved, or has weights that are not finite.
    """
    path = Path(path)
    try:
        text, weights = _read(path)
        metadata = _parse(text)
        config = parse_config(metadata.config)
        # The weights come from the file: no memory for others, and no time to draw them.
        with torch.device("meta"), _NothingDrawn():
            network = build_model(config)
        _check_fit(network.state_dict(), weights)
        _verify(text, weights)
        _check_finite(weights)
        network.load_state_dict(weights, assign=True)
        return TrainedModel(
            network=network.eval(),
            config=config,
            classes=metadata.classes,
            mix=metadata.mix,
            mean=metadata.mean,
            std=metadata.std,
            trained_on=metadata.trained_on,
            calibration=metadata.calibration,
        )
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return a hash of the weights alone: the notes beside them do not make it another run."""
    digest = hashlib.blake2b()
    for name, weight in sorted(weights.items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        digest.update(weight.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class _NothingDrawn(TorchFunctionMode):
    """Leaves out normal draws: of tensors without data they load torch's compiler, for seconds."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in (torch.Tensor.normal_, nn.init.normal_):
            return args[0] if args else kwargs["tensor"]
        return (torch.empty if function is torch.randn else function)(*args, **kwargs)


def _stored(tensor: Tensor) -> Tensor:
    # A copy: safetensors refuses tensors that share memory.
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.to("cpu", dtype, copy=True, memory_format=torch.contiguous_format)


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True)


def _checksum(content: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of metadata and of each tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(_canonical(content).encode())
    for name, tensor in sorted(weights.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _verify(text: str, weights: Mapping[str, Tensor]) -> None:
    """Raise ModelError unless metadata and weights are those that were saved."""
    whole = json.loads(text)
    content = dict(whole)
    checksum = content.pop("checksum", None)
    if checksum is None:
        return
    # The text itself, too: another digit at a number's end may mean the same number.
    if text != _canonical(whole) or checksum != _checksum(content, weights):
        raise ModelError(
            "damaged, or changed since it was saved: its checksum differs; allowed: another copy"
        )


def _read(path: Path) -> tuple[str, dict[str, Tensor]]:
    """Return what a file holds: metadata as text, and weights."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ModelError("no such model file") from None
    except (SafetensorError, OSError) as error:
        if path.is_dir():
            raise ModelError("a folder; allowed: a model.safetensors") from None
        if path.suffix == ".onnx":
            raise ModelError("an ONNX file; allowed: model.safetensors") from None
        raise ModelError(f"not a readable safetensors file ({error})") from None
    if text is None:
        raise ModelError(f"no {METADATA_KEY!r} metadata: only models saved by framemix load")
    return text, weights


def _parse(text: str) -> Metadata:
    try:
        return Metadata.model_validate_json(text)
    except ValidationError as error:
        raise ModelError(f"metadata: {describe_error(error, Metadata)}") from None


def _check_fit(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Raise ModelError unless these are the expected weights by name, shape and type."""
    wrong = [
        name
        for name in expected.keys() | weights.keys()
        if name not in weights
        or name not in expected
        or weights[name].shape != expected[name].shape
    ]
    if wrong:
        raise ModelError(f"weights missing, unknown or of another shape: {some_of(wrong)}")
    other = sorted(name for name, weight in weights.items() if weight.dtype != expected[name].dtype)
    if other:
        raise ModelError(
            f"weights of another type: {other[0]} is {weights[other[0]].dtype}; "
            f"allowed: {expected[other[0]].dtype}"
        )


def _check_finite(weights: Mapping[str, Tensor]) -> None:
    # A sum is not finite when a weight is not, and makes no tensor of the weights' size.
    broken = [name for name, weight in weights.items() if not weight.sum().isfinite()]
    if broken:
        raise ModelError(f"weights not finite: {some_of(broken)}")
