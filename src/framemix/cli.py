"""The `framemix` command line: all commands, and how each of them reports errors."""

import os
import sys
from typing import Annotated

import typer

from framemix.benchmarks.commands import bench
from framemix.calibration.commands import calibrate
from framemix.errors import FramemixError, is_out_of_memory, one_line
from framemix.inference import commands
from framemix.jobs.atomic import FULL
from framemix.jobs.terminal import print_error, print_text
from framemix.project import commands as checkout

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # lines of a paragraph are one
)
for command in (
    commands.predict,
    commands.watch,
    commands.explain,
    commands.export,
    commands.demo,
    calibrate,
    checkout.profile,
    checkout.use,
    checkout.pipeline,
    checkout.table2,
    checkout.folds,
    checkout.plan,
    checkout.doctor,
):
    app.command()(command)
app.add_typer(bench, name="bench")


def _say_version(wanted: bool) -> None:
    if wanted:
        from framemix import __version__

        print_text(f"framemix {__version__}")
        raise typer.Exit


@app.callback()
def framemix(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version, and end.", callback=_say_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Video models on mixed frames: the commands beside the DVC pipeline."""


def main() -> None:
    """Run the command line; a FramemixError, an OSError or a full GPU is one line and exit code 1.

    So is a package that is not installed: a plain installation has only what ONNX files need.
    Every other exception is a defect of framemix, and keeps its traceback.
    """
    try:
        app()
    except FramemixError as error:
        print_error(str(error))
        sys.exit(1)
    except ModuleNotFoundError as error:
        package = (error.name or "framemix").partition(".")[0]
        if package == "framemix":
            raise
        print_error(f"{package}: not installed; run in the checkout: pip install '.[pipeline]'")
        sys.exit(1)
    except OSError as error:
        if error.filename is None and error.errno not in FULL:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        print_error(f"{where}{error.strerror}")
        # Python would try again to flush what could not be written, and fail again, as it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        print_error(f"{one_line(error)}; allowed: --device cpu")
        sys.exit(1)
