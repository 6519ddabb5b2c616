"""What the rest of the project may rely on in the rendered sample."""

import re
from pathlib import Path

import av
import numpy as np
import pytest
from pydantic import ValidationError

from framemix.datasets.files import list_entries
from framemix.datasets.origin import DRAWN, Origin, origin_of
from framemix.datasets.sample import SampleSettings, render_sample
from framemix.datasets.sample.actions import ACTIONS, HEIGHT, ActionVideo, draw_look, track
from framemix.datasets.sample.behaviour import Behaviour, draw_behaviour
from framemix.jobs.cluster import Cluster
from tests.listing import shared_workers

PAIRS = [
    ("SlideLeft", "SlideRight"),
    ("SlideUp", "SlideDown"),
    ("SpinClockwise", "SpinAnticlockwise"),
    ("Grow", "Shrink"),
]
FRAMES = 20
SMALL = SampleSettings(seed=3, groups=2, clips_per_group=1, frames=FRAMES, subjects=5, seconds=1.0)
TINY = SMALL.model_copy(update={"groups": 1, "subjects": 1})


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample")
    render_sample(root, SMALL, shared_workers())
    return root


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    render_sample(root, TINY, shared_workers())
    return root


def decode(path: Path) -> list[tuple[int, int]]:
    """Width and height, as coded, of every frame that PyAV gets out of a file."""
    with av.open(str(path)) as container:
        return [(frame.width, frame.height) for frame in container.decode(video=0)]


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def behaviours(state: int, seeds: int = 100) -> list[Behaviour]:
    seconds = np.arange(360) / 30
    return [draw_behaviour(state, seconds, np.random.default_rng(seed)) for seed in range(seeds)]


def test_action_videos_have_ucf101_names_and_a_folder_a_class(sample: Path) -> None:
    videos = list((sample / "ucf101").rglob("*.*"))
    assert {path.parent.name for path in videos} == {*np.ravel(PAIRS), "Hop"}
    for path in videos:
        assert re.fullmatch(rf"v_{path.parent.name}_g0[12]_c0[123]\.avi", path.name)


def test_the_videos_are_known_as_drawn_wherever_they_are(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(sample / "rldd")
    assert origin_of(sample / "ucf101").drawn
    assert origin_of(tmp_path / "link") == Origin(name="link", drawn=True)
    assert not origin_of(tmp_path).drawn
    listed = {entry.path for entry in list_entries(sample / "rldd")}
    assert listed == {
        path.relative_to(sample / "rldd").as_posix() for path in (sample / "rldd").rglob("*.*")
    }


def test_face_videos_have_rldd_folders_and_all_three_states(sample: Path) -> None:
    folders = [path for path in (sample / "rldd").glob("*/*") if path.is_dir()]
    assert {path.name for path in folders} == {"01", "02", "03", "04", "05"}
    for folder in folders:
        assert re.fullmatch(r"Fold[1-5]_part[12]", folder.parent.name)
        assert {path.stem for path in folder.iterdir()} == {"0", "5", "10"}


def test_extensions_of_face_videos_vary_in_name_and_case(sample: Path) -> None:
    extensions = {path.suffix for path in (sample / "rldd").rglob("*.*")}
    assert extensions == {".mp4", ".mov", ".MOV"}


def test_action_videos_are_320_by_240_xvid_at_25_fps(sample: Path) -> None:
    path = sample / "ucf101/Grow/v_Grow_g01_c01.avi"
    assert set(decode(path)) == {(320, 240)}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.codec_context.codec_tag) == (25, "XVID")


@pytest.mark.parametrize("action", np.ravel(PAIRS))
def test_full_classes_have_a_long_enough_clip_in_every_group_and_short_ones(
    sample: Path, action: str
) -> None:
    counts = {path.stem[-7:]: len(decode(path)) for path in (sample / "ucf101" / action).iterdir()}
    for group in ("g01", "g02"):
        assert FRAMES <= counts[f"{group}_c01"] <= 1.15 * FRAMES
        assert counts[f"{group}_c02"] < 0.7 * FRAMES


def test_every_video_of_the_short_class_is_too_short(sample: Path) -> None:
    counts = [len(decode(path)) for path in (sample / "ucf101/Hop").iterdir()]
    assert counts
    assert max(counts) < FRAMES


def test_one_file_is_truncated_and_decodes_to_too_few_frames(sample: Path) -> None:
    path = sample / "ucf101/SlideLeft/v_SlideLeft_g02_c03.avi"
    whole = ActionVideo(SMALL.seed, "SlideLeft", group=2, clip=3, shortest=FRAMES)
    assert sum(1 for _ in whole.frames()) >= FRAMES
    assert 0 < len(decode(path)) < FRAMES


def test_face_videos_last_equally_long_in_every_state(sample: Path) -> None:
    counts = {path: len(decode(path)) for path in (sample / "rldd").rglob("*.*")}
    assert set(counts.values()) == {30}


@pytest.mark.parametrize(
    ("subject", "coded", "displayed"),
    [
        ("01", (480, 360), (480, 360)),
        ("04", (360, 480), (360, 480)),  # portrait
        ("05", (360, 480), (480, 360)),  # turned by metadata
    ],
)
def test_face_videos_are_landscape_but_for_one_portrait_subject(
    sample: Path, subject: str, coded: tuple[int, int], displayed: tuple[int, int]
) -> None:
    paths = list((sample / "rldd").glob(f"*/{subject}/*"))
    assert len(paths) == 3  # one a state
    for path in paths:
        assert set(decode(path)) == {coded}
        height, width, _ = pytest.importorskip("decord").VideoReader(str(path))[0].shape
        assert (width, height) == displayed


def test_a_player_shows_the_rotated_face_upright(sample: Path) -> None:
    (path,) = (sample / "rldd").glob("*/05/0.*")
    frame = pytest.importorskip("decord").VideoReader(str(path))[0].asnumpy().astype(int)
    # Shoulders and seat fill the lower edge's middle; the upper edge is wall throughout.
    differences = [abs(edge[200:280].mean(0) - edge[:40].mean(0)).sum() for edge in frame[[2, -3]]]
    assert differences[1] > differences[0]
    assert np.abs(frame[:, :240].mean() - frame[:, 240:].mean()) < 20


def test_the_number_of_workers_does_not_change_a_byte(tiny: Path, tmp_path: Path) -> None:
    render_sample(tmp_path, TINY, Cluster(1))
    assert contents(tmp_path) == contents(tiny)


def test_another_seed_gives_other_videos_under_the_same_names(tiny: Path, tmp_path: Path) -> None:
    render_sample(tmp_path, TINY.model_copy(update={"seed": 4}), shared_workers())
    one, other = contents(tiny), contents(tmp_path)
    assert one.keys() == other.keys()
    videos = [name for name in one if not name.endswith(DRAWN)]
    assert all(one[name] != other[name] for name in videos)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_track_played_backwards_is_the_track_of_the_paired_class(pair: tuple[str, str]) -> None:
    cycles = 0.3 + np.arange(150) / 61.7
    forward, backward = track(pair[0], cycles), track(pair[1], -cycles)
    for one, other in zip(vars(forward).values(), vars(backward).values(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("pair", PAIRS)
def test_stills_of_paired_classes_show_the_same_places_and_sizes(pair: tuple[str, str]) -> None:
    cycles = (np.arange(100) + 0.5) / 100  # one period
    stills = [
        sorted(
            zip(*(np.round(v, 6) + 0.0 for v in vars(track(action, cycles)).values()), strict=True)
        )
        for action in pair
    ]
    np.testing.assert_allclose(stills[0], stills[1], atol=1e-5)


@pytest.mark.parametrize("action", [name for name in ACTIONS if name != "Hop"])
def test_motion_is_large(action: str) -> None:
    path = track(action, np.linspace(0, 0.999, 50))
    assert np.ptp(path.x) + np.ptp(path.y) > HEIGHT or np.ptp(path.scale) > 1


def test_sprites_differ_clearly_from_their_background() -> None:
    for seed in range(50):
        look = draw_look(np.random.default_rng(seed))
        assert abs(look.colour.mean() - look.backdrop.mean()) > 60


def test_clips_of_a_group_share_their_look_and_groups_differ() -> None:
    def still(group: int, clip: int) -> np.ndarray:
        frames = ActionVideo(3, "Grow", group=group, clip=clip, shortest=10).frames()
        return next(frames).mean(axis=(0, 1))

    def hue(colour: np.ndarray) -> np.ndarray:
        return colour / colour.sum()

    within = [abs(hue(still(g, 1)) - hue(still(g, 2))).sum() for g in range(1, 9)]
    across = [abs(hue(still(g, 1)) - hue(still(g + 1, 1))).sum() for g in range(1, 9)]
    assert np.mean(within) < np.mean(across) / 2


def test_drowsy_eyes_are_closed_far_longer_than_alert_ones() -> None:
    alert, low, drowsy = ([b.closed for b in behaviours(state)] for state in (0, 5, 10))
    assert max(alert) < min(low)
    assert max(low) < min(drowsy)
    assert 0.35 < np.mean(drowsy) < 0.6


def test_drowsy_heads_nod_and_alert_heads_do_not() -> None:
    alert, low, drowsy = ([b.nod.max() for b in behaviours(state)] for state in (0, 5, 10))
    assert max(alert) == 0
    assert max(low) < min(drowsy)
    assert min(drowsy) > 0.1
    assert max(drowsy) <= 0.2


def test_any_five_seconds_show_whether_a_person_is_drowsy() -> None:
    def shares(state: int) -> list[float]:
        signs = [(b.lids > 0.8) | (b.nod > 0.05) for b in behaviours(state)]
        return [float(s[at : at + 150].mean()) for s in signs for at in range(0, 211, 10)]

    assert max(shares(0)) < 0.15
    assert min(shares(10)) > 0.25


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", -1),
        ("groups", 0),
        ("clips_per_group", 0),
        ("frames", 0),
        ("subjects", 0),
        ("seconds", 0),
        ("unknown", 1),
    ],
)
def test_settings_out_of_range_are_refused(key: str, value: int) -> None:
    with pytest.raises(ValidationError, match=key):
        SampleSettings.model_validate(SMALL.model_dump() | {key: value})
