"""The sample: a small corpus of real video files in the layouts of UCF101 and UTA-RLDD.

With it, the whole pipeline runs and learns something in a fresh clone without data. The same
settings give the same bytes, whatever the number of workers.
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from framemix.datasets.origin import mark_drawn
from framemix.datasets.sample.actions import ACTIONS, ActionVideo
from framemix.datasets.sample.behaviour import MANNERS
from framemix.datasets.sample.faces import FaceVideo
from framemix.jobs.cluster import Cluster, map_tasks
from framemix.validation import Settings

# A class in which all videos are too short; UCF101 has two such classes.
SHORT_CLASS = "Hop"
SHORT_CLASS_GROUPS = 4

# Used in turn by the subjects; UTA-RLDD has this mixture of names.
EXTENSIONS = ("mp4", "mov", "mp4", "MOV", "mp4", "mp4", "MP4")
# The subject whose videos are portrait, and the one whose videos are rotated by metadata.
PORTRAIT_SUBJECT, ROTATED_SUBJECT = 4, 5

Task = tuple[Path, ActionVideo | FaceVideo]


class SampleSettings(Settings):
    """The size of the sample, and its seed."""

    seed: int = Field(ge=0, lt=2**32, description="another one draws another corpus")
    groups: int = Field(ge=1, le=99, description="groups of clips of each UCF101 class")
    clips_per_group: int = Field(ge=1, le=90, description="full-length clips of a group")
    frames: int = Field(ge=10, le=3000, description="of the shortest full-length UCF101 clip")
    subjects: int = Field(ge=1, le=99, description="people in UTA-RLDD, three videos each")
    seconds: float = Field(ge=1, le=600, description="length of a UTA-RLDD video")


def render_sample(root: Path, settings: SampleSettings, cluster: Cluster) -> int:
    """Write `<root>/ucf101/` and `<root>/rldd/`; return how many videos were rendered.

    They have the layouts of the real datasets. UCF101 gets eight classes in pairs that differ only
    in the direction of motion, a class whose videos are all too short, some other short clips, and
    one truncated file. UTA-RLDD gets alert, low vigilant and drowsy videos of each subject, which
    differ in behaviour only; the fourth subject's are portrait, the fifth's rotated by metadata.
    Raises VideoError when a file cannot be written.
    """
    # Faces take longest, so they go first: the workers then finish at about the same time.
    root = root.absolute()
    tasks = [*face_tasks(root / "rldd", settings), *action_tasks(root / "ucf101", settings)]
    for path, _ in tasks:
        path.parent.mkdir(parents=True, exist_ok=True)
    for dataset in ("rldd", "ucf101"):
        mark_drawn(root / dataset)
    return sum(1 for _ in map_tasks(_render, tasks, cluster=cluster, label="render videos"))


def _render(task: Task) -> None:
    path, video = task
    video.write(path)


def action_tasks(root: Path, settings: SampleSettings) -> Iterator[Task]:
    """Yield each video of actions with its path, below `root` as UCF101 lies."""
    for action, group, clip in _clips(settings):
        extra = clip - settings.clips_per_group
        video = ActionVideo(
            seed=settings.seed,
            action=action,
            group=group,
            clip=clip,
            shortest=settings.frames,
            short=action == SHORT_CLASS or extra == 1,
            truncated=extra == 2,
        )
        yield root / action / f"v_{action}_g{group:02d}_c{clip:02d}.avi", video


def _clips(settings: SampleSettings) -> Iterator[tuple[str, int, int]]:
    """Yield action, group and clip; beyond `clips_per_group`, one short and one truncated."""
    last, clips = settings.groups, settings.clips_per_group
    full = [action for action in ACTIONS if action != SHORT_CLASS]
    for action in full:
        for group in range(1, last + 1):
            yield from ((action, group, clip) for clip in range(1, clips + 1))
        yield from ((action, group, clips + 1) for group in sorted({1, last}))
    yield full[0], last, clips + 2
    yield from ((SHORT_CLASS, group, 1) for group in range(1, min(last, SHORT_CLASS_GROUPS) + 1))


def face_tasks(root: Path, settings: SampleSettings) -> Iterator[Task]:
    """Yield each video of a driver with its path, below `root` as UTA-RLDD lies."""
    for subject in range(1, settings.subjects + 1):
        fold, part = (subject - 1) % 5 + 1, (subject - 1) // 5 % 2 + 1
        folder = root / f"Fold{fold}_part{part}" / f"{subject:02d}"
        extension = EXTENSIONS[(subject - 1) % len(EXTENSIONS)]
        for state in MANNERS:
            video = FaceVideo(
                seed=settings.seed,
                subject=subject,
                state=state,
                seconds=settings.seconds,
                portrait=subject == PORTRAIT_SUBJECT,
                rotation=90 if subject == ROTATED_SUBJECT else 0,
            )
            yield folder / f"{state}.{extension}", video
