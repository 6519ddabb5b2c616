"""The `framemix` command."""

import atexit
import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

from framemix.benchmarks.commands import bench
from framemix.errors import FramemixError, ParamsError
from framemix.inference import commands
from framemix.params import apply_profile, load_params
from framemix.scratch import scratch_root
from framemix.training.finetune_settings import Task

PROFILES, REPORTS = Path("profiles"), Path("reports")
PLACES = {  # in the checkout, as the stages write them
    "sample": Path("data/sample"),
    "videos": Path("data/ucf101/videos.csv"),
    "clips": Path("data/rldd/clips.csv"),
    "store": Path("data/mixed"),
    "cache": Path(".dvc/cache"),
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # lines of a paragraph are one
)
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
    from framemix.doctor import Places, examine

    params = load_params()
    places = Places(**PLACES, scratch=scratch_root(params.runtime.scratch))
    findings = list(examine(params, places, decode=decode))
    for finding in findings:
        typer.echo(f"{'ok ' if finding.well else 'BAD'} {finding.line}")
    raise typer.Exit(0 if all(finding.well for finding in findings) else 1)


def _report(name: str, text: str) -> None:
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / name).write_text(text, encoding="utf-8")
    typer.echo(text)


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
