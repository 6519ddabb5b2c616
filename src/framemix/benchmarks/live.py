"""The speed of watching: windows per second, and the latency of a prediction."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch

from framemix.benchmarks.paper import PAPER_VIVIT
from framemix.benchmarks.synthetic import whole_video
from framemix.inference.classifier import Classifier
from framemix.inference.clips import Sliding, rolling_mix
from framemix.inference.torch_classifier import classifier_of
from framemix.models import IMAGENET_MEAN, IMAGENET_STD, TrainedModel, build_model
from framemix.text.markdown import Table

FPS = 30.0
WINDOW = 5.0  # seconds: 150 frames
TURNS = 7
HEAD = ["model", "a frame, ms", "mixing, ms", "network, ms", "windows a second", "latency, ms"]


@dataclass(frozen=True)
class LiveCost:
    """Seconds, medians: for a frame, for one that fills a window, for the network."""

    frame: float
    window: float
    network: float

    @property
    def latency(self) -> float:
        """Seconds from a window's last frame to its prediction."""
        return self.window + self.network

    @property
    def windows_a_second(self) -> float:
        """How many windows are predicted per second, each with a second of new frames."""
        return 1 / (self.network + self.window + (FPS - 1) * self.frame)


def bench_live(classifier: Classifier) -> LiveCost:
    """Measure windows of 5 s at 30 frames a second, a second apart, without decoding."""
    rolling = rolling_mix(classifier.mix, Sliding(WINDOW, 1.0), FPS)
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (30, *classifier.mix.frame_shape), np.uint8)
    of_frames: list[float] = []
    of_windows: list[float] = []
    clip = None
    for number in range(round((WINDOW + TURNS) * FPS)):
        start = time.perf_counter()
        full = rolling.push(frames[number % len(frames)])
        (of_frames if full is None else of_windows).append(time.perf_counter() - start)
        clip = clip if full is None else full
    assert clip is not None
    batch = clip[None]
    return LiveCost(
        median(of_frames), median(of_windows), _seconds(lambda: classifier.probabilities(batch))
    )


def paper_vivit() -> Classifier:
    """Return paper A's ViViT with random weights, which take as long as trained ones."""
    config = PAPER_VIVIT
    mix = whole_video(config.image_size, segments=config.frames, method="none")
    torch.manual_seed(0)
    model = TrainedModel(
        network=build_model(config),
        config=config,
        classes=[str(label) for label in range(config.num_classes)],
        mix=mix.model_dump(mode="json"),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )
    return classifier_of(model, "paper A's ViViT", "cpu")


def table(costs: Mapping[str, LiveCost]) -> str:
    """Return the costs as a Markdown table, in milliseconds."""
    return Table(HEAD, [_row(name, cost) for name, cost in costs.items()]).markdown()


def _row(name: str, cost: LiveCost) -> list[str]:
    return [
        name,
        f"{1000 * cost.frame:.2f}",
        f"{1000 * cost.window:.1f}",
        f"{1000 * cost.network:.1f}",
        f"{cost.windows_a_second:.1f}",
        f"{1000 * cost.latency:.0f}",
    ]


def _seconds(task: Callable[[], object]) -> float:
    task()
    taken = []
    for _ in range(TURNS):
        start = time.perf_counter()
        task()
        taken.append(time.perf_counter() - start)
    return median(taken)
