"""The commands `framemix bench ...`.

The measured code is imported only when a command runs, so that other commands start fast.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from framemix.jobs.terminal import print_text

bench = typer.Typer(no_args_is_help=True)


class NetworksTable(StrEnum):
    """What `bench networks` compares: networks, and mixes and first weights of ViViT."""

    NETWORKS = "networks"
    MIXES = "mixes"
    INITS = "inits"


@bench.callback()
def benchmarks() -> None:
    """Measure what parts of the pipeline cost, as ratios that hold on any machine."""


@bench.command("data")
def measure_data(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Videos to mix; without any, some that are rendered."),
    ] = None,
) -> None:
    """Compare mixing with decoding, a store with a plain file, and so on."""
    from framemix.benchmarks.data import bench_data
    from framemix.benchmarks.timing import table

    print_text(table(bench_data(files or [])))


@bench.command("train")
def measure_training(
    vit_pytorch: Annotated[
        Path,
        typer.Option(
            help="vit_pytorch/vivit.py in FOLDER after "
            "`pip install --no-deps --target FOLDER vit-pytorch==1.2.9`."
        ),
    ],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
) -> None:
    """Compare ViViT with vit-pytorch's and with a matrix product, and modes of fine-tuning."""
    from framemix.benchmarks.train import bench_train, paper_sizes
    from framemix.devices import resolve_device

    where = resolve_device(device)
    print_text(bench_train(vit_pytorch, where, paper_sizes(where)))


@bench.command("published")
def measure_published(
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
) -> None:
    """Compare a step of VideoMAE-base with the plain way around the library's own network."""
    from framemix.benchmarks.published import base_sizes, bench_published
    from framemix.devices import resolve_device

    where = resolve_device(device)
    print_text(bench_published(where, base_sizes(where)))


@bench.command("networks")
def measure_networks(
    root: Annotated[Path, typer.Argument(help="Videos: `Class/v_Class_gNN_cNN.avi`.")],
    folds: Annotated[int, typer.Option(min=2, help="Parts that the groups gNN divide into.")] = 6,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of training, for each run.")] = 20.0,
    tables: Annotated[
        list[NetworksTable] | None,
        typer.Option("--table", help="One of the tables, instead of all three; may be repeated."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each network on each fold.")] = 3,
    processes: Annotated[int, typer.Option(min=1, help="Runs side by side.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
) -> None:
    """Compare networks after equal training time, and mixes and first weights of ViViT.

    Recipes, sizes and mix are those of params.yaml.
    """
    from framemix.benchmarks.networks import Options, bench_networks
    from framemix.devices import resolve_device
    from framemix.project.params import load_params

    params, where = load_params(), resolve_device(device)
    chosen = list(dict.fromkeys(tables or NetworksTable))
    options = Options(chosen, folds, seconds, seeds, processes, where)
    print_text(bench_networks(root, params.pretrain, params.mix, options))


@bench.command("videos")
def measure_videos(
    videos: Annotated[
        Path, typer.Argument(help="Labelled videos with groups: a folder or a list.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of clips, predictions and tables; resumes what is there.")
    ],
    processes: Annotated[int, typer.Option(min=1, help="Trainings side by side.")] = 1,
) -> None:
    """Compare networks, splits and ways to mix on labelled videos, each clip evaluated once.

    Recipes, sizes and folds are those of params.yaml's your_videos.
    """
    from framemix.benchmarks.videos import bench_videos
    from framemix.project.params import load_params

    print_text(bench_videos(videos, load_params(), out, processes))


@bench.command("live")
def measure_live(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help="Model files; without any, paper A's ViViT with random weights."),
    ] = None,
) -> None:
    """Measure how many windows per second a model predicts, and its latency, on this CPU."""
    from framemix.benchmarks.live import bench_live, paper_vivit, table
    from framemix.inference.loading import load_classifier

    classifiers = {str(path): load_classifier(path, "cpu") for path in models or []}
    named = classifiers or {"paper A's ViViT": paper_vivit()}
    print_text(table({name: bench_live(classifier) for name, classifier in named.items()}))


@bench.command("detector")
def measure_detector(
    model: Annotated[Path, typer.Argument(help="model.safetensors, of alert and drowsy drivers.")],
    out: Annotated[Path, typer.Option(help="Folder for the drivers' videos, and their list.")],
    drivers: Annotated[int, typer.Option(min=2, help="People, each evaluated once.")] = 12,
    minutes: Annotated[float, typer.Option(min=0.5, help="Of alert video of each.")] = 4.0,
) -> None:
    """Count false alarms with and without `calibrate` and `watch --baseline`, on drawn drivers."""
    from framemix.benchmarks.detector import bench_detector

    print_text(bench_detector(model, out, drivers, minutes))
