"""From a model and labelled clips to a calibrated model, and how it does on these clips."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from framemix.calibration.clips import listed_videos, predicted_clips
from framemix.calibration.fit import AtThreshold, Fitting, negative_classes
from framemix.errors import DatasetError, FramemixError
from framemix.inference.alarm import HELD, watched_class
from framemix.inference.loading import live_sliding, say_caveat
from framemix.inference.torch_classifier import classifier_of
from framemix.jobs.terminal import print_error, print_text
from framemix.models import TrainedModel, load_model, save_model
from framemix.models.calibration import Calibration
from framemix.text.names import printable


def calibrate_model(
    path: Path,
    clips: Path,
    target: Path,
    *,
    alarm: str | None,
    most: float,
    step: float,
    device: str,
) -> tuple[str, bool]:
    """Write the calibrated model to `target`; return a report, and whether all clips were used.

    The alarm is for the class `alarm`, else for drowsy, and has at most `most` false alarms per
    hour in the clips. A clip that cannot be used is one line on stderr. An earlier calibration of
    the model has no influence. Raises ModelError, DatasetError and FramemixError.
    """
    model = replace(load_model(path), calibration=None)
    say_caveat(path, model.trained_on)
    fitting, is_complete = _predicted(model, path, clips, alarm, step, device)
    calibration = fitting.fit(most)
    save_model(target, replace(model, calibration=calibration))
    at_threshold = fitting.at_threshold(calibration)
    if not at_threshold.sensitivity.value:
        watched = printable(fitting.watched)
        rare = f"{most:g} false alarms per hour are too few to find any {watched}"
        print_text(f"warning: {rare}", error=True)
    lines = [*_fitted(fitting, calibration), *_evaluated(fitting, at_threshold), _advice(target)]
    return "\n".join(lines), is_complete


def _predicted(
    model: TrainedModel, path: Path, clips: Path, alarm: str | None, step: float, device: str
) -> tuple[Fitting, bool]:
    """Return the usable clips of the list with the model's predictions, and whether all are."""
    watched, sliding = (
        _required_class(alarm, model.classes),
        live_sliding(model.trained_on, None, step),
    )
    found = listed_videos(clips, model.classes)
    _check_states((one.label for one in found if not one.reason), model.classes, watched, clips)
    classifier = classifier_of(model, path, device)
    predicted, errors = predicted_clips(classifier, found, clips, sliding)
    for error in errors:
        print_error(error)
    _check_states((one.label for one in predicted), model.classes, watched, clips)
    return Fitting(predicted, model.classes, watched, sliding), not errors


def _required_class(alarm: str | None, classes: list[str]) -> str:
    watched = watched_class(alarm, classes)
    if watched is None:
        raise FramemixError(f"--alarm: none given; allowed: one of {', '.join(classes)}")
    return watched


def _check_states(labels: Iterable[str], classes: list[str], watched: str, clips: Path) -> None:
    """Raise DatasetError unless there are clips of the class and others, for false alarms."""
    there, negative = set(labels), negative_classes(classes, watched)
    if watched not in there or there.isdisjoint(negative):
        raise DatasetError(
            f"CLIPS = {clips}: usable clips of {', '.join(sorted(there)) or 'no class'}; allowed: "
            f"some of {watched}, and some of {' or '.join(negative)} to count false alarms in"
        )


def _fitted(fitting: Fitting, calibration: Calibration) -> list[str]:
    before, after = fitting.certainty(1.0), fitting.certainty(calibration.temperature)
    name, on = printable(fitting.watched), calibration.on
    groups, count = {one.group for one in fitting.clips}, sum(len(c.ends) for c in fitting.clips)
    return [
        f"{len(fitting.clips)} clips of {len(groups)} groups, {count} windows of "
        f"{fitting.sliding.window:g} s, {fitting.sliding.step:g} s apart",
        f"temperature {calibration.temperature:.3g}: NLL {after.nll:.3f}, was {before.nll:.3f}; "
        f"calibration error of {name} {after.error:.1%}, was {before.error:.1%}",
        f"alarm for {name}: from a smoothed {on:.3f} until below {HELD * on:.3f}",
    ]


def _evaluated(fitting: Fitting, at_threshold: AtThreshold) -> list[str]:
    found, false = at_threshold.sensitivity, at_threshold.false_alarms
    name = printable(fitting.watched)
    negative = ", ".join(printable(one) for one in sorted({one.label for one in fitting.negative}))
    low, high = false.interval
    return [
        f"sensitivity: {found.value:.1%} of {found.clips} clips of {name} "
        f"({found.low:.1%} to {found.high:.1%})",
        f"false alarms in {negative}: {false.per_hour:.3g} per hour ({low:.3g} to {high:.3g}), "
        f"{false.alarms} in {false.hours:.3g} hours without an alarm",
    ]


def _advice(target: Path) -> str:
    return (
        f"{printable(str(target))}: good for new people if none of these people trained the model; "
        "these metrics, with 95 % intervals, are of the clips that chose it"
    )
