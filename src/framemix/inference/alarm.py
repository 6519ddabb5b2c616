"""An alarm that short peaks of a probability do not raise, and that does not flicker."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from framemix.errors import FramemixError

USUAL = "drowsy"  # the class to watch for


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


def watched_class(named: str | None, classes: Sequence[str]) -> str | None:
    """Return the class to watch for: the named one, else `drowsy` if the model has it.

    Raises FramemixError for a named class that the model does not have.
    """
    if named is None:
        return USUAL if USUAL in classes else None
    if named not in classes:
        raise FramemixError(f"--alarm {named}: not the model's; allowed: {', '.join(classes)}")
    return named
