"""What the settings of augmentation promise: one draw a clip, within its bounds."""

import pytest
import torch
from einops import repeat
from torch import Tensor

from framemix.training.augment import jitter_colour, mixup_cutmix, shift_and_flip
from framemix.training.settings import AugmentSettings

SIZE, FRAMES, HEIGHT, WIDTH = 64, 3, 20, 30


def settings(**changes: float) -> AugmentSettings:
    none = {
        "shift": 0.0,
        "flip": False,
        "brightness": 0.0,
        "contrast": 0.0,
        "mixup": 0.0,
        "cutmix": 0.0,
    }
    return AugmentSettings.model_validate(none | changes)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def positions() -> Tensor:
    """Clips whose red is the pixel's row, green its column and blue its frame."""
    rows = repeat(torch.arange(HEIGHT), "h -> b t h w", b=SIZE, t=FRAMES, w=WIDTH)
    columns = repeat(torch.arange(WIDTH), "w -> b t h w", b=SIZE, t=FRAMES, h=HEIGHT)
    frames = repeat(torch.arange(FRAMES), "t -> b t h w", b=SIZE, h=HEIGHT, w=WIDTH)
    return torch.stack([rows, columns, frames], dim=-1).to(torch.uint8)


def test_without_shift_and_flip_clips_stay_as_they_are() -> None:
    assert torch.equal(shift_and_flip(positions(), settings()), positions())


def test_all_frames_of_a_clip_move_alike_and_keep_their_order() -> None:
    moved = shift_and_flip(positions(), settings(shift=0.3, flip=True))
    for frame in range(FRAMES):
        assert torch.equal(moved[:, frame, ..., :2], moved[:, 0, ..., :2])
        assert (moved[:, frame, ..., 2] == frame).all()


def test_clips_of_a_batch_move_differently() -> None:
    moved = shift_and_flip(positions(), settings(shift=0.3))
    corners = {tuple(clip[0, 10, 15, :2].tolist()) for clip in moved}
    assert len(corners) > SIZE // 2


def test_shift_goes_both_ways_up_to_its_share_and_no_farther() -> None:
    centre = shift_and_flip(positions(), settings(shift=0.2))[:, 0, 10, 15].int()
    rows, columns = centre[:, 0] - 10, centre[:, 1] - 15
    assert (rows.min(), rows.max()) == (-4, 4)  # 20 % of 20
    assert (columns.min(), columns.max()) == (-6, 6)  # 20 % of 30


def test_shift_repeats_the_border() -> None:
    moved = shift_and_flip(positions(), settings(shift=0.2))[:, 0].int()
    steps = moved[:, 1:, 0, 0] - moved[:, :-1, 0, 0]
    assert set(steps.flatten().tolist()) == {0, 1}
    assert moved[..., 0].min() == 0
    assert moved[..., 0].max() == HEIGHT - 1


def test_no_clip_is_flipped_unless_allowed() -> None:
    moved = shift_and_flip(positions(), settings(shift=0.2))[:, 0, 0, :, 1].int()
    assert (moved[:, 1:] >= moved[:, :-1]).all()


def test_about_half_the_clips_are_flipped_where_allowed() -> None:
    first = shift_and_flip(positions(), settings(flip=True))[:, 0, 0, :, 1]
    flipped = (first[:, 0] == WIDTH - 1).sum().item()
    assert set(first[:, 0].tolist()) == {0, WIDTH - 1}
    assert 16 <= flipped <= 48


def test_colours_stay_as_they_are_at_zero() -> None:
    clips = torch.randn(4, 3, FRAMES, HEIGHT, WIDTH)
    assert torch.equal(jitter_colour(clips, settings()), clips)


def test_colours_change_once_a_clip_within_their_bounds() -> None:
    zeros = torch.zeros(SIZE, 3, FRAMES, 2, 2)
    ones = torch.ones(SIZE, 3, FRAMES, 2, 2)
    brightness = jitter_colour(zeros, settings(brightness=0.2))
    contrast = jitter_colour(ones, settings(contrast=0.3)) - 1
    for change, most in ((brightness, 0.2), (contrast, 0.3)):
        assert all(len(clip.unique()) == 1 for clip in change)
        assert len(change[:, 0, 0, 0, 0].unique()) > SIZE // 2
        assert 0.8 * most < change.abs().max() <= most + 1e-6


def test_contrast_and_brightness_are_drawn_apart() -> None:
    both = settings(brightness=0.2, contrast=0.2)
    torch.manual_seed(1)
    brightness = jitter_colour(torch.zeros(SIZE, 3, 1, 1, 1), both)[:, 0].flatten()
    torch.manual_seed(1)
    contrast = jitter_colour(torch.ones(SIZE, 3, 1, 1, 1), both)[:, 0].flatten() - 1 - brightness
    assert torch.corrcoef(torch.stack([brightness, contrast]))[0, 1].abs() < 0.5


def numbered(height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Clips of their own number everywhere."""
    return repeat(torch.arange(8.0), "b -> b c t h w", c=3, t=FRAMES, h=height, w=width).clone()


def test_mixup_weighs_each_clip_and_its_partner_by_the_share_of_their_labels() -> None:
    shares = []
    for _ in range(50):
        blended, partners, share = mixup_cutmix(numbered(), settings(mixup=0.5))
        assert sorted(partners.tolist()) == list(range(8))
        wanted = share * torch.arange(8) + (1 - share) * partners
        assert torch.allclose(blended, repeat(wanted, "b -> b c t h w", c=3, t=3, h=20, w=30))
        shares.append(share)
    assert len(set(shares)) == 50
    # Beta(0.5, 0.5) is far from uniform: a third of it each lies within 0.25 of 0 and of 1.
    assert 0.4 < sum(share < 0.25 or share > 0.75 for share in shares) / 50 < 0.95
    assert 0.3 < sum(shares) / 50 < 0.7


def test_cutmix_pastes_one_box_of_the_partner_into_all_frames_and_counts_its_pixels() -> None:
    shares = []
    for _ in range(50):
        blended, partners, share = mixup_cutmix(numbered(), settings(cutmix=1.0))
        other = next(i for i in range(8) if partners[i] != i)
        pasted = blended[other] == partners[other]
        assert torch.equal(blended[other][~pasted], numbered()[other][~pasted])
        assert (pasted == pasted[:1, :1]).all()
        rows, columns = pasted[0, 0].any(1), pasted[0, 0].any(0)
        assert int(pasted[0, 0].sum()) == int(rows.sum()) * int(columns.sum())  # a box
        assert share == pytest.approx(1 - pasted[0, 0].double().mean().item())
        shares.append(share)
    assert min(shares) < 0.3
    assert max(shares) > 0.8


def test_a_box_of_cutmix_that_the_border_does_not_cut_has_the_share_that_was_drawn() -> None:
    half = settings(cutmix=1000.0)  # of each clip
    areas = [1 - mixup_cutmix(numbered(), half)[2] for _ in range(50)]
    assert max(areas) == pytest.approx(0.5, abs=0.1)
    assert 0.1 < min(areas) < 0.3  # around a corner, a quarter of it is left


def test_mixup_and_cutmix_draw_their_shares_each_by_its_own_setting() -> None:
    both = settings(mixup=1000.0, cutmix=0.01)
    found = [mixup_cutmix(numbered(), both) for _ in range(40)]
    mixed = [share for clips, _, share in found if (clips % 1 != 0).any()]
    pasted = [share for clips, _, share in found if (clips % 1 == 0).all()]
    assert all(abs(share - 0.5) < 0.1 for share in mixed)
    assert 1.0 in pasted  # nothing of the partner, as half of the draws say: the others, nearly all


def test_where_mixup_and_cutmix_are_both_on_batches_take_one_or_the_other() -> None:
    both = settings(mixup=1.0, cutmix=1.0)
    whole = [(mixup_cutmix(numbered(), both)[0] % 1 == 0).all().item() for _ in range(40)]
    assert 8 < sum(whole) < 32
