"""The `framemix` command."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from framemix.errors import FramemixError, ParamsError
from framemix.params import apply_profile

PROFILES = Path("profiles")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
bench = typer.Typer(no_args_is_help=True)
app.add_typer(bench, name="bench")


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


def _profile_file(name: str) -> Path:
    named = PROFILES / f"{name}.yaml"
    for path in (named, Path(name)):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in PROFILES.glob("*.yaml")))
    raise ParamsError(f"profile {name}: no such profile or file; allowed: {known}, or a YAML file")


def main() -> None:
    """Run the command line: a user's error is one line and exit code 1."""
    try:
        app()
    except FramemixError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
