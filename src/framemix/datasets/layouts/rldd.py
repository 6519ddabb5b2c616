"""UTA-RLDD: `<root>/FoldN_partM/<subject>/{0,5,10}.<ext>`.

Ghoddoosian, Galib, Athitsos: A Realistic Dataset and Baseline Temporal Model for Early
Drowsiness Detection (CVPRW 2019): 60 subjects film themselves for ten minutes in each of
three states.
"""

from collections.abc import Iterator
from pathlib import Path

from framemix.datasets.clips import RLDD_VIDEO, STATES
from framemix.datasets.files import list_entries
from framemix.datasets.layouts.layout import Found, Layout

SUBJECTS = 60


def find(root: Path) -> Iterator[Found]:
    """Yield every file: the class is the state, the group the subject, the subset the fold."""
    for entry in list_entries(root):
        if name := RLDD_VIDEO.fullmatch(entry.path):
            yield Found(
                entry.path,
                STATES[int(name["state"])],
                group=f"{int(name['subject']):02}",
                subset=f"fold{int(name['fold'])}",
                reason=entry.reason,
            )
        else:
            reason = entry.reason or "not FoldN_partM/<subject>/{0,5,10}.<mov|mp4|...>"
            yield Found(entry.path, reason=reason)


def _fits(root: Path) -> bool:
    return any(RLDD_VIDEO.fullmatch(entry.path) for entry in list_entries(root))


RLDD = Layout("a folder with FoldN_partM/<subject>/{0,5,10}.<mov|mp4|...> files", find, _fits)
