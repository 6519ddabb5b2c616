"""What users may rely on when a dataset is listed: what was dropped, and why, is said."""

from framemix.datasets.clips import Clip
from framemix.datasets.summary import SHOWN, summary


def row(class_name: str, reason: str = "") -> Clip:
    return Clip(video="v.mp4", class_name=class_name, kept=not reason, reason=reason)


def test_all_that_was_dropped_is_reported_with_the_commonest_reasons_first() -> None:
    short = [row("Jump", f"{frames} frames, fewer than 150") for frames in (83, 90, 149)]
    damaged = [row("Run", "is empty"), row("Run", "is empty"), row("", "not <Class>/<video>")]
    lines = summary([row("Run"), row("Walk"), *damaged, *short])
    assert len(lines) == 5
    assert "2 of 8" in lines[0]
    assert "2 classes" in lines[0]
    assert "3: such as 83 frames, fewer than 150" in lines[1]
    assert lines[2].endswith("2: is empty")
    assert "1: not <Class>/<video>" in lines[3]
    assert "Jump" in lines[4]
    assert "Run" not in lines[4]


def test_all_is_well_in_one_line() -> None:
    assert len(summary([row("Run"), row("Walk")])) == 1


def test_many_reasons_are_counted_and_none_is_lost() -> None:
    reasons = ["a", "b", "c", "d", "e", "f", "g"]
    lines = summary([row("Run"), *(row("Run", reason) for reason in reasons)])
    assert len(lines) == 1 + SHOWN + 1
    assert f"rejected {len(reasons) - SHOWN}: 2 other" in lines[-1]
