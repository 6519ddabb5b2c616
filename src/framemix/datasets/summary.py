"""A summary for people: which videos of a dataset were kept, and why others were not."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

from framemix.datasets.clips import Clip
from framemix.errors import some_of

SHOWN = 5  # reasons, of however many
NUMBER = re.compile(r"\d+(\.\d+)?")


def summary(clips: Iterable[Clip]) -> list[str]:
    """Return lines with the count of kept videos, the reasons of the others, and lost classes.

    Reasons that differ in numbers count as one, and the first of them is shown.
    """
    rows = list(clips)
    kept = [row for row in rows if row.kept]
    classes = {row.class_name for row in kept}
    lines = [f"kept {len(kept)} of {len(rows)} videos and clips, in {len(classes)} classes"]
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if not row.kept:
            reasons[NUMBER.sub("0", row.reason)].append(row.reason)
    counts = Counter({kind: len(given) for kind, given in reasons.items()}).most_common()
    for kind, count in counts[:SHOWN]:
        example, *others = dict.fromkeys(reasons[kind])
        lines.append(f"rejected {count}: {'such as ' if others else ''}{example}")
    if rest := sum(count for _, count in counts[SHOWN:]):
        lines.append(f"rejected {rest}: {len(counts) - SHOWN} other reasons")
    if gone := {row.class_name for row in rows if row.class_name} - classes:
        lines.append(f"no video is kept of {len(gone)} classes: {some_of(gone)}")
    return lines
