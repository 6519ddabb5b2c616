"""When to raise an alarm: not at every peak of a probability, and not on and off."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from framemix.errors import FramemixError

USUAL = "drowsy"  # the class to watch for


@dataclass
class Alarm:
    """Smooths a probability over time; goes on at `on` and off again only below `off`.

    `half_life` is in seconds: so long after a change, the smoothed value has made half of it.
    """

    on: float
    off: float
    half_life: float
    level: float | None = field(default=None, init=False)
    active: bool = field(default=False, init=False)
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
        self.active = self.level >= (self.off if self.active else self.on)
        return self.level


def watched_class(named: str | None, classes: Sequence[str]) -> str | None:
    """Return the class to watch for: the one named, else the usual one where the model has it.

    Raises FramemixError for a class that is named but not one of the model's.
    """
    if named is None:
        return USUAL if USUAL in classes else None
    if named not in classes:
        raise FramemixError(f"--alarm {named}: not the model's; allowed: {', '.join(classes)}")
    return named
