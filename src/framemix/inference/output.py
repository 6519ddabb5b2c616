"""Predictions as text for people, as JSON and as CSV."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import StringIO
from statistics import median
from typing import Any

from framemix.inference.alarm import Alarm
from framemix.inference.classifier import Probabilities
from framemix.inference.clips import SLACK, Sliding
from framemix.inference.live import LivePrediction
from framemix.inference.prediction import Result
from framemix.tables import write_rows
from framemix.text.names import printable

CSV_COLUMNS = ("video", "start_seconds", "end_seconds", "rank", "class", "probability")
LIVE_COLUMNS = ("time", "seconds", "alarm", "smoothed", "latency_seconds", "skipped")


def best(
    classes: Sequence[str], probabilities: Probabilities, count: int
) -> list[tuple[str, float]]:
    """Return the `count` most likely classes and their probabilities, likeliest first."""
    order = sorted(range(len(classes)), key=lambda k: -probabilities[k])[:count]
    return [(classes[k], float(probabilities[k])) for k in order]


def as_text(results: Sequence[Result], classes: Sequence[str], top: int) -> str:
    """Return a line with each video's name, and below it one line per prediction."""
    lines = []
    for result in results:
        lines.append(printable(str(result.video)))
        for prediction in result.predictions:
            shares = _shares(classes, prediction.probabilities, top)
            lines.append(f"{prediction.start:8.1f} - {prediction.end:5.1f} s  {shares}")
    return "\n".join(lines)


def windows_note(results: Sequence[Result], sliding: Sliding | None) -> str | None:
    """Return a note about a window that was not requested; None where there was none."""
    if sliding is None or not sliding.usual or all(len(r.predictions) < 2 for r in results):
        return None
    return (
        f"note: videos longer than {SLACK * sliding.window:g} s are taken in windows of "
        f"{sliding.window:g} s, as long as the model's clips; --window sets another length"
    )


def as_json(results: Sequence[Result], classes: Sequence[str], top: int) -> str:
    """Return a list of videos, each with its predictions or with its error."""
    return json.dumps([_plain(result, classes, top) for result in results], indent=2)


def as_csv(results: Sequence[Result], classes: Sequence[str], top: int) -> str:
    """Return one row for each of the likeliest classes of each prediction."""
    text = StringIO()
    rows = (row for result in results for row in _rows(result, classes, top))
    write_rows(text, [CSV_COLUMNS, *rows])
    return text.getvalue().rstrip("\n")


def live_line(seen: LivePrediction, classes: Sequence[str], alarm: Alarm) -> str:
    """Return the line for a window of a live video, with the alarm if one is watched."""
    likely = _shares(classes, seen.probabilities, 3)
    level = "" if alarm.level is None else f"  smoothed {alarm.level:.2f}"
    state = "  ALARM" if alarm.active else ""
    skipped = f"  {seen.skipped} skipped" if seen.skipped else ""
    return f"{seen.seconds:8.1f} s  {likely}{level}{state}  {1000 * seen.latency:.0f} ms{skipped}"


def live_record(seen: LivePrediction, classes: Sequence[str], alarm: Alarm) -> dict[str, Any]:
    """Return the same for programs: `time` is that of the prediction, in UTC.

    `smoothed` and `alarm` are None where no class is watched for, and during a baseline.
    """
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "seconds": round(seen.seconds, 3),
        "alarm": None if alarm.level is None else alarm.active,
        "smoothed": None if alarm.level is None else round(alarm.level, 6),
        "latency_seconds": round(seen.latency, 6),
        "skipped": seen.skipped,
        "probabilities": {
            name: round(float(p), 6) for name, p in zip(classes, seen.probabilities, strict=True)
        },
    }


def live_columns(classes: Sequence[str]) -> list[str]:
    """Return the columns of what `live_row` returns."""
    return [*LIVE_COLUMNS, *(f"p({name})" for name in classes)]


def live_row(record: dict[str, Any]) -> list[Any]:
    """Return a record of `live_record` as one row, in which an alarm is 1."""
    alarm = record["alarm"]
    values = record | {"alarm": None if alarm is None else int(alarm)}
    return [*(values[column] for column in LIVE_COLUMNS), *record["probabilities"].values()]


def live_summary(milliseconds: Counter[int], skipped: int) -> str:
    """Return the number of predicted windows, and their latency."""
    if not milliseconds:
        return "no window was full"
    latencies = sorted(milliseconds.elements())
    late = latencies[math.ceil(0.95 * len(latencies)) - 1]  # 95 % are not later
    return (
        f"{len(latencies)} windows, {skipped} skipped; latency {median(latencies):.0f} ms "
        f"in the median, {late} ms for 95 %"
    )


def _shares(classes: Sequence[str], probabilities: Probabilities, count: int) -> str:
    likely = best(classes, probabilities, count)
    return "  ".join(f"{printable(name)} {p:.1%}" for name, p in likely)


def _plain(result: Result, classes: Sequence[str], top: int) -> dict[str, Any]:
    if result.error is not None:
        return {"video": str(result.video), "error": result.error}
    return {
        "video": str(result.video),
        "predictions": [
            {
                "start_seconds": round(prediction.start, 3),
                "end_seconds": round(prediction.end, 3),
                "classes": dict(best(classes, prediction.probabilities, top)),
            }
            for prediction in result.predictions
        ],
    }


def _rows(result: Result, classes: Sequence[str], top: int) -> Iterator[tuple[Any, ...]]:
    for prediction in result.predictions:
        span = (f"{prediction.start:.3f}", f"{prediction.end:.3f}")
        for rank, (name, p) in enumerate(best(classes, prediction.probabilities, top), 1):
            yield (str(result.video), *span, rank, name, f"{p:.6f}")
