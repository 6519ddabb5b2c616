"""Groups from the names of videos, for layouts without groups.

A group must not be on both sides of a split. UCF101's `gNN` names which clips were cut out of one
recording; names in other datasets are matched by a regular expression.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from framemix.datasets.layouts.layout import Found
from framemix.errors import DatasetError

# The end of a copy's name, after the name of its original. Without the original, (1) is a number.
COPY = re.compile(r"(?P<stem>.+?)(?:[ _.-]*\(\d+\)|[ _.-]*copy(?:[ _-]*\d+)?)", re.IGNORECASE)
# The end of a part's name: a number, or a word and a number.
PART = re.compile(
    r"(?P<stem>.+?)(?:(?P<number>[ _.-]+\d+)|"
    r"(?:[ _.-]|(?<=\d))(?:part|pt|clip|seg|segment|chunk|cut|scene|take|p|c|s)[ _-]?\d+)",
    re.IGNORECASE,
)
# Names of recordings and videos in general, by cameras and people, when only a number follows.
NUMBERED = re.compile(
    r"(?:img|dsc|dscn|dscf|mvi|mov|vid|pxl|mah|gopr|gx|gh|dji|video|clip|sample|file|movie|film|"
    r"rec|recording|record|take|screen|capture|at|wa|whatsapp|[^a-z])*",
    re.IGNORECASE,
)


def with_groups(found: Sequence[Found], pattern: str, key: str) -> list[Found]:
    """Return the videos with the groups that `pattern`, the value of `key`, finds in their paths.

    The group is the match of the part `group`, or of the only part in parentheses. Raises
    DatasetError where the pattern is no regular expression with such a part, and where it finds no
    group in the path of a video.
    """
    what = f"{key} = {pattern!r}"
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DatasetError(f"{what}: no regular expression: {error}") from None
    if "group" not in compiled.groupindex and compiled.groups != 1:
        raise DatasetError(
            f"{what}: has {compiled.groups} parts in brackets; allowed: one, or one named "
            f"(?P<group>...)"
        )
    part = "group" if "group" in compiled.groupindex else 1
    matches = [None if one.reason else compiled.search(one.video) for one in found]
    groups = [match[part] if match else None for match in matches]
    without = [one.video for one, g in zip(found, groups, strict=True) if not (g or one.reason)]
    if without:
        raise DatasetError(
            f"{what}: finds no group in {len(without)} of {len(found)} paths, {without[0]} first; "
            f"allowed: one that finds a group in the path of each video"
        )
    return [replace(one, group=g or "") for one, g in zip(found, groups, strict=True)]


def looks_like_parts(found: Sequence[Found]) -> tuple[str, str] | None:
    """Return two videos whose names look like parts or copies of one recording, or None.

    They have the same class and folder and no group, and their names differ in a number, part or
    copy at the end. Cameras' numbers (IMG_0011) stand for different recordings, and so do numbers
    directly after letters (fi001).
    """
    folders: dict[tuple[str, str], dict[str, str]] = {}
    for one in found:
        if not one.group and not one.reason and one.start is None:
            path = PurePosixPath(one.video)
            folders.setdefault((one.label, f"{path.parent}"), {})[path.stem.lower()] = one.video
    pairs = (pair for names in folders.values() for pair in _pairs(names))
    return next(pairs, None)


def _pairs(names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the first part of each recording with each later part; `names` are the videos'."""
    first: dict[str, str] = {}
    for name, video in names.items():
        if (copy := COPY.fullmatch(name)) and copy["stem"] in names:
            yield names[copy["stem"]], video
        elif (part := PART.fullmatch(name)) and not (
            part["number"] and NUMBERED.fullmatch(part["stem"])
        ):
            other = first.setdefault(part["stem"], video)
            if other != video:
                yield other, video
