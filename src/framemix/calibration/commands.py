"""The command `framemix calibrate`. What computes is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from framemix.inference.commands import STEP, AlarmClass, Device
from framemix.jobs.terminal import print_text


def calibrate(
    model: Annotated[Path, typer.Argument(help="model.safetensors.")],
    clips: Annotated[
        Path,
        typer.Argument(
            help="Labelled videos of people whom the model has not seen: a CSV file with columns "
            "path, label and, where known, group (the person), start, end; or folders of classes."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Default: MODEL's name with -calibrated at its end."),
    ] = None,
    alarm: AlarmClass = None,
    false_alarms: Annotated[
        float, typer.Option(help="The most false alarms per hour, on these videos.", min=0)
    ] = 6.0,
    device: Device = "auto",
) -> None:
    """Fit a model's temperature, and the alarm that finds most, to people whom it has not seen.

    The new file's probabilities are as sure as they are right, and `watch` starts its alarm at the
    threshold that was found. A video that cannot be used is reported in one line; the exit code is
    then 1.
    """
    from framemix.calibration.calibrate import calibrate_model
    from framemix.inference.output_paths import check_output_path

    target = output or model.with_stem(f"{model.stem}-calibrated")
    check_output_path(target, ".safetensors", [model, clips])
    report, is_complete = calibrate_model(
        model, clips, target, alarm=alarm, most=false_alarms, step=STEP, device=device
    )
    print_text(report)
    if not is_complete:
        raise typer.Exit(1)
