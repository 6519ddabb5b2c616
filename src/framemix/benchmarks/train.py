"""The speed of training ViViT: beside vit-pytorch's, beside a plain matrix product, by mode."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from itertools import cycle, islice, repeat
from os import sched_getaffinity
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from framemix.benchmarks.paper import PAPER_VIVIT
from framemix.benchmarks.synthetic import store_of, whole_video
from framemix.benchmarks.timing import Comparison, Cost, Task, speeds, table, take_turns
from framemix.errors import ModelError
from framemix.mixing.frames import PixelFormat
from framemix.models import IMAGENET_MEAN, IMAGENET_STD
from framemix.models.config import FinetuneMode, ViViTConfig
from framemix.models.vivit import ViViT, load_vit_pytorch_state_dict
from framemix.store import MixedStore
from framemix.text.markdown import Table
from framemix.training.data import Example
from framemix.training.frozen import split_frozen
from framemix.training.optimizer import build_optimizer
from framemix.training.parts import freeze_for
from framemix.training.run import Machine, Run, train
from framemix.training.settings import AugmentSettings, TrainingSettings

# Shapes: B clips, T frames, H height, W width.

Precision = Literal["fp32", "bf16"]
PIXEL_FORMATS: tuple[PixelFormat, ...] = ("rgb24", "yuv420p")
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
PEER = "vit-pytorch"
WARMUPS = 3
# Times as fast as vit-pytorch, by device and by (what, precision).
TARGETS: dict[str, dict[tuple[str, Precision], float]] = {
    "cpu": {
        ("forward", "fp32"): 1.15,
        ("forward", "bf16"): 2.5,
        ("forward and backward", "fp32"): 1.2,
        ("forward and backward", "bf16"): 2.0,
    },
    "cuda": {("forward", "bf16"): 2.0, ("forward and backward", "bf16"): 2.0},
}
FROZEN_TARGET = 20.0
EPOCH_TARGET = 120  # seconds
MODES: tuple[FinetuneMode, ...] = ("all", "temporal_fc", "fc")
NO_AUGMENT = AugmentSettings(shift=0, flip=False, brightness=0, contrast=0, mixup=0, cutmix=0)
# One step after the other at a constant rate.
PLAIN = {
    "epochs": 1,
    "patience": None,
    "select": "last",
    "accumulate": 1,
    "sampling": "uniform",
    "optimizer": "adamw",
    "learning_rate": 1e-4,
    "layer_decay": 1.0,
    "weight_decay": 0.05,
    "warmup_epochs": 0,
    "schedule": "constant",
    "label_smoothing": 0.0,
    "clip_norm": None,
    "ema_decay": None,
    "precision": "auto",
    "augment": NO_AUGMENT,
}


@dataclass(frozen=True)
class Sizes:
    """What is measured on."""

    network: ViViTConfig
    clips: int  # at a time, beside vit-pytorch
    product: int  # rows and columns of the matrix product
    turns: int  # that count
    batch: int  # of a training step
    steps: int  # turns of training steps that count
    epoch: int  # clips
    stored: int  # clips, read again and again


def paper_sizes(device: torch.device) -> Sizes:
    """Paper A's network and clips, of which a GPU takes many at a time to be busy."""
    cuda = device.type == "cuda"
    return Sizes(
        network=PAPER_VIVIT,
        clips=48 if cuda else 1,
        product=16384 if cuda else 2048,
        turns=7,
        batch=8,
        steps=3,
        epoch=6060,
        stored=1000,
    )


@dataclass(frozen=True)
class Network:
    """A network, and how it makes logits of clips uint8 (B, T, H, W, C)."""

    module: nn.Module
    logits: Callable[[Tensor], Tensor]


def bench_train(peer: Path, device: torch.device, sizes: Sizes) -> str:
    """Measure on `device` and return tables; `peer` is vit-pytorch's vivit.py.

    On a GPU also an epoch, clips loaded from disk. Raises ModelError where `peer` is no such file.
    """
    torch.manual_seed(0)
    parts = [_beside_peer(peer, device, sizes), _by_mode(device, sizes)]
    if device.type == "cuda":
        parts += [epoch(device, sizes, pixel_format) for pixel_format in PIXEL_FORMATS]
    return "\n\n".join(parts)


def networks(peer: Path, device: torch.device, config: ViViTConfig) -> dict[str, Network]:
    """Return ours and vit-pytorch's ViViT, of equal weights."""
    sizes = config.model_dump(exclude={"architecture", "attention", "tokeniser"})
    theirs = _peer_class(peer)(**sizes).to(device)
    ours = ViViT(**sizes).to(device)
    load_vit_pytorch_state_dict(ours, theirs.state_dict())
    mean, std = (
        torch.tensor(values, device=device).view(3, 1, 1, 1)
        for values in (IMAGENET_MEAN, IMAGENET_STD)
    )

    def from_bytes(clips: Tensor) -> Tensor:
        video = rearrange(clips, "b t h w c -> b c t h w").float()
        logits: Tensor = theirs(video.div_(255).sub_(mean).div_(std))
        return logits

    return {"framemix": Network(ours, ours), PEER: Network(theirs, from_bytes)}


def epoch(device: torch.device, sizes: Sizes, pixel_format: PixelFormat) -> str:
    """Train for an epoch on clips from disk, and measure how long it takes."""
    with tempfile.TemporaryDirectory() as name:
        store = _random_store(Path(name), sizes, pixel_format)
        rows = list(islice(cycle(store.index), sizes.epoch))
        examples = [Example(store, row, row.label) for row in rows]
        run = Run(
            network=ViViT(**sizes.network.model_dump(exclude={"architecture"})),
            config=sizes.network,
            classes=[str(label) for label in range(sizes.network.num_classes)],
            train=examples,
            val=examples[:1],
            settings=TrainingSettings.model_validate(PLAIN | {"batch_size": sizes.batch}),
            seed=0,
            origin={},
        )
        workers = len(sched_getaffinity(0))
        machine = Machine(device, 1, 1, workers, resident=False, scratch=Path(name) / "run")
        timing = json.loads((train(run, machine) / "timing.json").read_text())
    return (
        f"an epoch of {sizes.epoch} clips from {pixel_format}, loading included: "
        f"{timing['seconds_an_epoch']:.1f} s ({EPOCH_TARGET})"
    )


def _beside_peer(peer: Path, device: torch.device, sizes: Sizes) -> str:
    clips = _clips(sizes.clips, sizes.network, device)
    tasks: dict[str, Task] = {}
    flops: dict[str, float] = {}
    for maker, network in networks(peer, device, sizes.network).items():
        for what, work in WORK.items():
            with FlopCounterMode(display=False) as counter:
                work(network, clips, "fp32")
            for precision in _precisions(device):
                name = _name(maker, what, precision)
                tasks[name] = _task(partial(work, network, clips, precision), device, sizes.clips)
                flops[name] = counter.get_total_flops() / sizes.clips
    for precision in _precisions(device):
        factor = torch.randn(sizes.product, sizes.product, device=device).to(DTYPES[precision])
        tasks[_peak(precision)] = _task(partial(torch.mm, factor, factor), device)
        flops[_peak(precision)] = 2 * sizes.product**3
    costs = take_turns(tasks, sizes.turns + WARMUPS, WARMUPS)
    return f"{_rates(costs, flops)}\n\n{table(speeds(costs, _comparisons(device)))}"


def _forward(network: Network, clips: Tensor, precision: Precision) -> None:
    with torch.no_grad(), _autocast(clips.device, precision):
        network.logits(clips)


def _forward_backward(network: Network, clips: Tensor, precision: Precision) -> None:
    network.module.zero_grad()
    with _autocast(clips.device, precision):
        logits = network.logits(clips)
    loss = F.cross_entropy(logits, torch.zeros_like(logits[:, 0], dtype=torch.int64))
    loss.backward()  # type: ignore[no-untyped-call]


WORK = {"forward": _forward, "forward and backward": _forward_backward}


def _by_mode(device: torch.device, sizes: Sizes) -> str:
    """Time training steps; where first layers are frozen, of the second epoch on."""
    tasks = {f"training {mode}": _training(mode, device, sizes) for mode in MODES}
    costs = take_turns(tasks, sizes.steps + 1, 1)
    rows = [
        Comparison(f"training {mode}", "training all", wall=FROZEN_TARGET) for mode in MODES[1:]
    ]
    return table(speeds(costs, rows))


def _training(mode: FinetuneMode, device: torch.device, sizes: Sizes) -> Task:
    network = ViViT(**sizes.network.model_dump(exclude={"architecture"})).to(device)
    freeze_for(network, mode)
    settings = TrainingSettings.model_validate(PLAIN | {"batch_size": sizes.batch})
    frozen, trained = split_frozen(network, NO_AUGMENT)
    batch = _clips(sizes.batch, sizes.network, device)
    if frozen is not None:
        with torch.no_grad():
            batch = frozen(batch)
    optimizer = build_optimizer(trained, settings)

    def step() -> None:
        _forward_backward(Network(trained, trained), batch, "fp32")
        optimizer.step()

    return _task(step, device, sizes.batch)


def _peer_class(path: Path) -> type[nn.Module]:
    spec = spec_from_file_location("vit_pytorch_vivit", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ModelError(
            f"--vit-pytorch {path}: no Python file; allowed: vivit.py of vit-pytorch, see --help"
        )
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    network: type[nn.Module] = module.ViT
    return network


def _task(run: Callable[[], object], device: torch.device, clips: int = 1) -> Task:
    def to_its_end() -> None:
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return Task(to_its_end, clips, len(sched_getaffinity(0)))


def _autocast(device: torch.device, precision: Precision) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def _rates(costs: Mapping[str, Sequence[Cost]], flops: Mapping[str, float]) -> str:
    """Return clips/s and the share of the matrix product's FLOP/s, medians, as a table."""
    rows = []
    for name, count in flops.items():
        peak = _peak(name.rpartition(", ")[2])
        seconds = [cost.wall for cost in costs[name]]
        product = [cost.wall / flops[peak] for cost in costs[peak]]
        share = median(count * p / s for p, s in zip(product, seconds, strict=True))
        clips = "" if name == peak else f"{1 / median(seconds):.2f}"
        rows.append([name, clips, f"{count / median(seconds) / 1e12:.3f}", f"{share:.1%}"])
    return Table(["task", "clips/s", "TFLOP/s", "of peak"], rows).markdown()


def _comparisons(device: torch.device) -> list[Comparison]:
    # A GPU's work is in no process's CPU time.
    return [
        Comparison(
            _name("framemix", what, precision),
            _name(PEER, what, precision),
            wall=target,
            cpu=target if device.type == "cpu" else None,
        )
        for (what, precision), target in TARGETS[device.type].items()
        if precision in _precisions(device)
    ]


def _precisions(device: torch.device) -> Sequence[Precision]:
    """Return what the device computes in; a CPU without AVX-512 emulates bf16, far slower."""
    emulated = device.type == "cpu" and not torch.backends.cpu.get_cpu_capability().startswith(
        "AVX512"
    )
    return ("fp32",) if emulated else ("fp32", "bf16")


def _name(maker: str, what: str, precision: Precision) -> str:
    return f"{maker}, {what}, {precision}"


def _peak(precision: str) -> str:
    return f"matrix product, {precision}"


def _clips(count: int, config: ViViTConfig, device: torch.device) -> Tensor:
    shape = (count, config.frames, *config.image_size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, device=device)


def _random_store(folder: Path, sizes: Sizes, pixel_format: PixelFormat) -> MixedStore:
    """Write a store of one random clip again and again."""
    settings = whole_video(
        sizes.network.image_size,
        segments=sizes.network.frames,
        method="none",
        pixel_format=pixel_format,
    )
    shape = (settings.segments, *settings.frame_shape)
    clip = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return store_of(folder, repeat(clip, sizes.stored), sizes.stored, settings)
