"""An alarm that short peaks of a probability do not raise, and that does not flicker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from framemix.errors import FramemixError

if TYPE_CHECKING:
    from framemix.models.calibration import Calibration

USUAL = "drowsy"  # the class to watch for
ON = 0.7  # smoothed probability that starts the alarm of a model that was not calibrated
HELD = 4 / 7  # the share of it below which the alarm ends
HALF_LIFE = 2.0  # seconds


@dataclass
class Alarm:
    """Smooths a probability over time; the alarm starts at `on` and ends only below `off`.

    `half_life` is the time, in seconds, in which the smoothed value follows half of a change.
    `changed` is whether the last update turned the alarm on or off.
    """

    on: float
    off: float
    half_life: float
    level: float | None = field(default=None, init=False)
    active: bool = field(default=False, init=False)
    changed: bool = field(default=False, init=False)
    _seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.off <= self.on <= 1:
            raise FramemixError(
                f"alarm off = {self.off:g}, on = {self.on:g}: allowed: 0 <= off <= on <= 1"
            )

    def update(self, probability: float, seconds: float) -> float:
        """Take the probability at a time of the stream; return the smoothed one."""
        if self.level is None:
            self.level = probability
        else:
            kept = 0.5 ** ((seconds - self._seconds) / self.half_life) if self.half_life else 0.0
            self.level = kept * self.level + (1 - kept) * probability
        self._seconds = seconds
        was = self.active
        self.active = self.level >= (self.off if was else self.on)
        self.changed = self.active != was
        return self.level


def usual_alarm(
    calibration: "Calibration | None",
    watched: str | None,
    *,
    on: float | None,
    off: float | None,
    half_life: float,
) -> Alarm:
    """Return the alarm for `watched`; without `on` it starts where the model was calibrated to.

    Without `off` it ends at the same share of `on` for every model.
    """
    if on is None:
        on = calibration.on if calibration and calibration.alarm == watched else ON
    return Alarm(on, HELD * on if off is None else off, half_life)


def watched_class(named: str | None, classes: Sequence[str]) -> str | None:
    """Return the class to watch for: the named one, else `drowsy` if the model has it.

    Raises FramemixError for a named class that the model does not have.
    """
    if named is None:
        return USUAL if USUAL in classes else None
    if named not in classes:
        raise FramemixError(f"--alarm {named}: not the model's; allowed: {', '.join(classes)}")
    return named
