"""UCF101: `<root>/<Class>/v_<Class>_gNN_cNN.avi`.

Soomro, Zamir, Shah: UCF101, CRCV-TR-12-01 (2012). A group `gNN` holds clips cut out of one
longer video.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from framemix.datasets.files import list_entries
from framemix.datasets.layouts.layout import Found, Layout, is_video_name

NAME = re.compile(
    r"(?P<class>[^/]+)/v_[^/]+_(?P<group>g\d+)_c\d+\.avi",
    re.IGNORECASE,
)


def find(root: Path) -> Iterator[Found]:
    """Yield every file: the class is the folder's name, also where the file's name differs."""
    for entry in list_entries(root):
        if name := NAME.fullmatch(entry.path):
            yield Found(entry.path, name["class"], name["group"].lower(), reason=entry.reason)
        else:
            folder, slash, _ = entry.path.partition("/")
            reason = entry.reason or "not <Class>/v_<Class>_gNN_cNN.avi"
            yield Found(entry.path, folder if slash else "", reason=reason)


def _fits(root: Path) -> bool:
    """Return whether all videos have such names: the groups of others would be unknown."""
    videos = [e.path for e in list_entries(root) if not e.reason and is_video_name(e.path)]
    return bool(videos) and all(NAME.fullmatch(video) for video in videos)


def _has_some(root: Path) -> bool:
    return any(NAME.fullmatch(entry.path) for entry in list_entries(root))


UCF101 = Layout("a folder with <Class>/v_<Class>_gNN_cNN.avi files", find, _fits)
# Where UCF101 is expected: other files among its videos get a reason.
OF_UCF101 = replace(UCF101, fits=_has_some)
