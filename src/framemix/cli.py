"""The `framemix` command."""

import atexit
import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

from framemix.datasets.records import Clip, Video
from framemix.errors import FramemixError, ParamsError
from framemix.inference import commands
from framemix.params import apply_profile, load_params
from framemix.scratch import scratch_root
from framemix.tables import RowType, read_table
from framemix.training.finetune_settings import Task

PROFILES, REPORTS = Path("profiles"), Path("reports")
SAMPLE = Path("data/sample")
STORE, CACHE = Path("data/mixed"), Path(".dvc/cache")
VIDEOS, CLIPS = Path("data/ucf101/videos.csv"), Path("data/rldd/clips.csv")
UCF101_KEPT = 7688  # of at least 150 frames: what the filter will keep, before it has run

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # lines of a paragraph are one
)
bench = typer.Typer(no_args_is_help=True)
app.add_typer(bench, name="bench")
for command in (commands.predict, commands.watch, commands.explain, commands.export, commands.demo):
    app.command()(command)


@app.callback()
def framemix() -> None:
    """Video models on mixed frames: what surrounds the DVC pipeline."""


@app.command()
def profile(
    name: Annotated[
        str, typer.Argument(help="A name in profiles/, such as paper, or a YAML file.")
    ],
) -> None:
    """Write a profile's values into params.yaml; its comments stay, and so do other values.

    `dvc params diff` then shows what changed, `git checkout params.yaml` takes it back.
    """
    changes = apply_profile(_profile_file(name))
    typer.echo("\n".join(changes) if changes else "params.yaml already has these values")


@app.command("table2")
def four_modes(
    task: Annotated[
        Task,
        typer.Option(help="What was learnt; paper A: UCF101's classes and drowsy."),
    ] = "drowsy_class",
) -> None:
    """Fill paper A's table 2, the four fine-tuning modes, from DVC's experiments.

    Takes the experiments whose other settings are those of params.yaml now.
    Prints them, with the commands for modes that have no experiment, and
    writes reports/table2.md.
    """
    # Here, as below: other commands need not wait for what reads experiments.
    from framemix.experiments import Experiments, table2

    _report("table2.md", table2(Experiments.read(), task))


@app.command()
def folds() -> None:
    """Pool DVC's experiments over UTA-RLDD's five folds: every subject validates once.

    Takes the experiments whose other settings are those of params.yaml now.
    Prints them, with the commands for folds that have no experiment, and
    writes reports/folds.md.
    """
    from framemix.experiments import Experiments, folds_table

    _report("folds.md", folds_table(Experiments.read()))


@app.command()
def doctor(
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode every video to its end; takes hours.")
    ] = False,
) -> None:
    """Tell whether the datasets are whole and the disk has room, and what to do where not.

    The exit code is 0 when all is well, else 1.
    """
    # Here: other commands need not wait for what decodes.
    from framemix import doctor

    params = load_params()
    data, stores = params.data, {"store": STORE, "scratch": scratch_root(params.runtime.scratch)}
    videos = [video for video in _rows(VIDEOS, Video) if video.kept]
    clips = [clip for clip in _rows(CLIPS, Clip) if clip.kept]
    findings = [
        *(
            [doctor.Finding(True, f"data.ucf101 = {data.ucf101}: the sample, made by dvc repro")]
            if data.ucf101.is_relative_to(SAMPLE)
            else doctor.examine_ucf101(data.ucf101, data.ucf101_lists, decode=decode)
        ),
        *(
            [doctor.Finding(True, f"data.rldd = {data.rldd}: the sample, made by dvc repro")]
            if data.rldd.is_relative_to(SAMPLE)
            else doctor.examine_rldd(data.rldd, decode=decode)
        ),
        *doctor.examine_disk(
            (len(videos) or UCF101_KEPT) + len(clips), params.mix, {**stores, "DVC cache": CACHE}
        ),
    ]
    for finding in findings:
        typer.echo(f"{'ok ' if finding.well else 'BAD'} {finding.line}")
    raise typer.Exit(0 if all(finding.well for finding in findings) else 1)


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
    """Compare mixing with decoding, a store with a plain file and with decoding anew, and so on."""
    # Here: other commands need not wait for what decodes.
    from framemix.benchmarks.data import bench_data
    from framemix.benchmarks.turns import table

    typer.echo(table(bench_data(files or [])))


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
    typer.echo(bench_train(vit_pytorch, where, paper_sizes(where)))


def _report(name: str, text: str) -> None:
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / name).write_text(text, encoding="utf-8")
    typer.echo(text)


def _rows(table: Path, row_type: type[RowType]) -> list[RowType]:
    return read_table(table, row_type) if table.is_file() else []


@bench.command("live")
def bench_live(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help="Model files; without any, paper A's ViViT with random weights."),
    ] = None,
) -> None:
    """Measure how many windows a second a model answers, and how late, on this CPU."""
    from framemix.benchmarks import live
    from framemix.inference.classifier import load_classifier

    classifiers = {str(path): load_classifier(path, "cpu") for path in models or []}
    named = classifiers or {"paper A's ViViT": live.paper_vivit()}
    typer.echo(live.table({name: live.bench_live(of) for name, of in named.items()}))


def _profile_file(name: str) -> Path:
    named = PROFILES / f"{name}.yaml"
    for path in (named, Path(name)):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in PROFILES.glob("*.yaml")))
    raise ParamsError(f"profile {name}: no such profile or file; allowed: {known}, or a YAML file")


def main() -> None:
    """Run the command line: a user's error is one line and exit code 1."""
    # What was loaded stays: Python would look through all of it again before it ends.
    atexit.register(gc.freeze)
    try:
        app()
    except FramemixError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
