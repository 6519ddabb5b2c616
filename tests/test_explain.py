"""`framemix explain`: the pictures show what the networks compute, not something like it."""

import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from einops import rearrange
from matplotlib.patches import ConnectionPatch
from torch import Tensor
from typer.testing import CliRunner, Result

from framemix.cli import app
from framemix.errors import ModelError
from framemix.explain.attention import (
    attention_weights,
    factorised_weights,
    rollout,
    vivit_relevance,
)
from framemix.explain.explanation import Explanation, explain_clip
from framemix.explain.gradcam import grad_cam
from framemix.explain.links import Links, affinity, strongest_links
from framemix.explain.pictures import draw_explanation
from framemix.inference.clips import MixedClip
from framemix.inference.film import write_film
from framemix.inference.loading import load_classifier
from framemix.mixing import mix_windows
from framemix.models import build_model, normalise
from framemix.models.config import AttentionScheme, Pairwise
from framemix.models.nonlocal_net import NonLocalBlock, NonLocalNet
from framemix.models.vivit import Attention, FactorisedAttention, ViViT
from framemix.video.reading import describe, stream_frames
from framemix.video.writing import video_writer
from tests.bad_videos import slowing_down
from tests.listing import count_frames
from tests.tiny_model import record, write_model, write_video
from tests.tiny_store import (
    ACTIONS,
    HEIGHT,
    SEGMENTS,
    WIDTH,
    clips,
    mix_settings,
    nonlocal_config,
    vivit_config,
)


def test_attention_times_values_is_what_the_layer_computes() -> None:
    torch.manual_seed(0)
    layer = Attention(dim=24, heads=3, dim_head=16, dropout=0.0)
    x = torch.randn(2, 7, 24)
    _, _, v = rearrange(layer.qkv(x), "b l (qkv h d) -> qkv b h l d", qkv=3, h=3)
    mixed = rearrange(attention_weights(layer, x) @ v, "b h l d -> b l (h d)")
    torch.testing.assert_close(layer.out(mixed), layer(x))


def test_rollout_keeps_rows_that_sum_to_one() -> None:
    attentions = [torch.rand(2, 3, 5, 5).softmax(dim=-1) for _ in range(4)]
    torch.testing.assert_close(rollout(attentions).sum(dim=-1), torch.ones(2, 5))


def test_rollout_multiplies_the_layers_with_their_shortcuts() -> None:
    first, second = (torch.rand(1, 2, 3, 3).softmax(dim=-1) for _ in range(2))
    one, other = (0.5 * layer[0].mean(dim=0) + 0.5 * torch.eye(3) for layer in (first, second))
    torch.testing.assert_close(rollout([first, second])[0], other @ one)


def test_layers_that_look_only_at_themselves_pass_nothing_on() -> None:
    alone = torch.eye(4).expand(1, 2, 4, 4)
    torch.testing.assert_close(rollout([alone, alone])[0], torch.eye(4))


@pytest.fixture(scope="module")
def vivit() -> ViViT:
    torch.manual_seed(0)
    network = build_model(vivit_config(spatial_depth=2, temporal_depth=2)).eval()
    assert isinstance(network, ViViT)
    return network


@pytest.fixture(scope="module")
def nonlocal_net() -> NonLocalNet:
    torch.manual_seed(0)
    network = build_model(nonlocal_config()).eval()
    assert isinstance(network, NonLocalNet)
    return network


def video(height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    return torch.randn(1, 3, SEGMENTS, height, width, generator=torch.Generator().manual_seed(1))


def test_vivits_relevance_is_shared_out_among_its_tokens(vivit: ViViT) -> None:
    relevance = vivit_relevance(vivit, video())
    assert relevance.shape == (SEGMENTS // 2, HEIGHT // 8, WIDTH // 8)
    assert float(relevance.sum()) == pytest.approx(1.0)
    assert float(relevance.min()) >= 0


@pytest.mark.parametrize("attention", get_args(AttentionScheme))
def test_every_encoder_has_the_same_kind_of_relevance(attention: Any) -> None:
    torch.manual_seed(0)
    network = build_model(vivit_config(attention=attention))
    assert isinstance(network, ViViT)
    relevance = vivit_relevance(network.eval(), video())
    assert relevance.shape == (SEGMENTS // 2, HEIGHT // 8, WIDTH // 8)
    assert float(relevance.sum()) == pytest.approx(1.0)
    assert float(relevance.min()) >= 0


@pytest.mark.parametrize(("kind", "kept"), [("attention", 1), ("temporal_attention", 0)])
def test_model_3_moves_relevance_within_frames_and_along_time(kind: str, kept: int) -> None:
    """Attention within frames leaves each frame its share, attention along time each place."""
    network = build_model(vivit_config(attention="factorised_self_attention"))
    assert isinstance(network, ViViT)
    block = network.encoder.blocks[0]
    with torch.no_grad():
        for layer in (block.attention, block.temporal_attention):
            layer.qkv.weight.zero_()  # looks evenly at all
        getattr(block, kind).qkv.weight.normal_(std=9.0)
    seen = vivit_relevance(network.eval(), video()).flatten(1)  # (T', N)
    assert float(seen.sum(dim=kept).std()) < 1e-6
    assert float(seen.sum(dim=1 - kept).std()) > 1e-2


def test_factorised_attention_times_values_is_what_the_layer_computes() -> None:
    torch.manual_seed(0)
    layer = FactorisedAttention(dim=24, heads=4, dim_head=8, dropout=0.0)
    x = torch.randn(1, 3, 5, 24)
    halves = rearrange(layer.qkv(x), "1 t n (qkv two h d) -> qkv two h t n d", qkv=3, two=2, h=2)
    (in_space, in_time), (space, time) = halves[2], factorised_weights(layer, x)
    mixed = torch.cat(
        [
            torch.einsum("thqk,htkd->tqhd", space, in_space).flatten(2),
            torch.einsum("nhqk,hknd->qnhd", time, in_time).flatten(2),
        ],
        dim=-1,
    )
    torch.testing.assert_close(layer.out(mixed)[None], layer(x))


def test_vivits_relevance_moves_with_what_is_attended(vivit: ViViT) -> None:
    """A spatial cls token that attends to one place alone makes that place the relevant one."""
    network = build_model(vivit_config(spatial_depth=1))
    assert isinstance(network, ViViT)
    attention = network.spatial.blocks[0].attention
    torch.nn.init.zeros_(attention.qkv.weight)
    seen = vivit_relevance(network.eval(), video())
    torch.testing.assert_close(seen[0], torch.full_like(seen[0], float(seen[0].mean())))


def test_relevance_changes_at_the_place_that_changes() -> None:
    """What a cls token looks with stays, so its weights of the others are all scaled alike."""
    torch.manual_seed(0)
    network = build_model(vivit_config(frame_patch_size=1, heads=1))
    assert isinstance(network, ViViT)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    before, after = video(), video()
    after[:, :, 1, :8, 8:16] *= -1.0
    old, new = (vivit_relevance(network.eval(), clip) for clip in (before, after))
    frames, places = new.sum(dim=(1, 2)) / old.sum(dim=(1, 2)), (new / old)[1].flatten()
    for ratios in (frames, places):
        others = ratios[[0, *range(2, len(ratios))]]
        torch.testing.assert_close(others, others[:1].expand_as(others))
        assert float((ratios[1] / others[0] - 1).abs()) > 1e-3


@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("pairwise", get_args(Pairwise))
def test_links_weights_are_what_the_block_gathers_with(pairwise: Any, subsample: bool) -> None:
    torch.manual_seed(0)
    block = NonLocalBlock(8, pairwise, subsample).eval()
    torch.nn.init.ones_(block.out_norm.weight)
    x = 3 * torch.randn(2, 8, 3, 4, 6)
    g = block.looked_at(block.g(x))
    y = rearrange(affinity(block, x) @ g, "b (t h w) i -> b i t h w", t=3, h=4, w=6)
    torch.testing.assert_close(block.out_norm(block.out(y)) + x, block(x))


def test_links_of_a_scaled_block_have_the_scale() -> None:
    torch.manual_seed(0)
    block = NonLocalBlock(8, scaled=True).eval()
    torch.nn.init.ones_(block.out_norm.weight)
    torch.nn.init.normal_(block.theta.weight)
    x = 3 * torch.randn(2, 8, 3, 4, 6)
    y = rearrange(affinity(block, x) @ block.looked_at(block.g(x)), "b n i -> b i n")
    gathered = block.out(y.unflatten(2, (3, 4, 6)))
    torch.testing.assert_close(block.out_norm(gathered) + x, block(x))


def test_links_lead_to_what_looks_alike() -> None:
    block = NonLocalBlock(4, "gaussian").eval()
    torch.nn.init.ones_(block.out_norm.weight)
    x = torch.full((1, 4, 2, 3, 5), 0.1)
    x[:, :, 0, 1, 2] = x[:, :, 1, 2, 4] = 2.0
    links = strongest_links(block, x)
    assert links.grid == (2, 3, 5)
    assert links.start in {(0, 1, 2), (1, 2, 4)}
    assert {place for place, _ in links.ends[:2]} == {(0, 1, 2), (1, 2, 4)}
    weights = [weight for _, weight in links.ends]
    assert weights == sorted(weights, reverse=True)


def test_links_of_a_subsampled_block_stay_on_the_grid() -> None:
    torch.manual_seed(0)
    block = NonLocalBlock(4, "embedded_gaussian", subsample=True).eval()
    links = strongest_links(block, torch.randn(1, 4, 2, 4, 6))
    cells = [(t, row // 2, column // 2) for (t, row, column), _ in links.ends]
    assert sorted(cells) == list(np.ndindex(2, 2, 3))


def test_grad_cam_of_a_linear_head_is_its_weighted_maps(nonlocal_net: NonLocalNet) -> None:
    """The head averages the maps: the gradient is the class's weights over the places."""
    maps: list[Tensor] = []
    clip = video(64, 96)
    hook = nonlocal_net.layer4.register_forward_hook(lambda module, args, out: maps.append(out))
    with torch.no_grad():
        nonlocal_net(clip)
    hook.remove()
    assert maps[0].shape[2:] == (SEGMENTS, 2, 3)
    weights = nonlocal_net.fc.weight[1] / maps[0][0, 0].numel()
    expected = torch.einsum("c,cthw->thw", weights, maps[0][0]).relu()
    torch.testing.assert_close(grad_cam(nonlocal_net, clip, 1), expected.detach())


def test_grad_cam_makes_no_graph_of_what_comes_before_the_last_stage(
    nonlocal_net: NonLocalNet,
) -> None:
    graphs: list[bool] = []
    hook = nonlocal_net.layer4.register_forward_pre_hook(
        lambda module, args: graphs.append(args[0].requires_grad)
    )
    grad_cam(nonlocal_net, video(), 0)
    hook.remove()
    assert graphs == [False]


def test_explaining_leaves_the_network_as_it_was(nonlocal_net: NonLocalNet, vivit: ViViT) -> None:
    vivit_relevance(vivit, video())
    assert not any(module._forward_pre_hooks for module in vivit.modules())
    grad_cam(nonlocal_net, video(), 0)
    assert torch.is_grad_enabled()
    assert all(parameter.grad is None for parameter in nonlocal_net.parameters())
    assert not nonlocal_net.layer4._forward_hooks


@pytest.mark.parametrize("pixel_format", ["rgb24", "yuv420p"])
@pytest.mark.parametrize("network", ["vivit", "nonlocal"])
def test_command_writes_a_picture_and_a_film(
    network: str, pixel_format: str, tmp_path: Path
) -> None:
    config = nonlocal_config() if network == "nonlocal" else None
    write_model(tmp_path / "model.safetensors", config, pixel_format=pixel_format)
    source = write_video(tmp_path / "a.avi", frames=25)
    done = run(tmp_path / "model.safetensors", source, "-o", tmp_path / "out", "--class", "Archery")
    assert done.exit_code == 0, (done.output, done.exception)
    assert done.stdout.startswith("Archery ")  # YoYo is the likeliest
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert count_frames(tmp_path / "out.mp4") == 25
    info = describe(tmp_path / "out.mp4")
    assert (info.height, info.width) == (240, 360)


@pytest.mark.parametrize("window", ["all", {"frames": 9, "at": "centre"}])
@pytest.mark.parametrize(
    ("frames", "segments", "times", "seen"), [(10, 3, 3, 0), (10, 3, 3, 2), (29, 8, 4, 2)]
)
def test_the_film_shows_a_segments_relevance_on_the_frames_that_were_mixed_into_it(
    frames: int, segments: int, times: int, seen: int, window: Any, tmp_path: Path
) -> None:
    source = tmp_path / "grey.avi"
    with video_writer(source, width=WIDTH, height=HEIGHT, fps=25, codec="ffv1") as write:
        for _ in range(frames):
            write(np.full((HEIGHT, WIDTH, 3), 60, np.uint8))
    mix = mix_settings(segments=segments, method="average", window=window)
    relevance = torch.zeros(times, 1, 1)
    relevance[seen] = 1.0
    clip = np.full((segments, *mix.frame_shape), 60, np.uint8)
    explanation = Explanation(clip, "a", 0.5, "made up", relevance, None)
    write_film(source, tmp_path / "film.mp4", explanation, mix)
    film = stream_frames(tmp_path / "film.mp4", size=(HEIGHT, WIDTH), fit="squeeze")
    heated = [number for number, frame in enumerate(film) if frame[HEIGHT // 2 :].mean() > 100]
    first, length = mix.span(frames)
    windows = mix_windows(length, segments=segments, method="average", frames_per_segment="all")
    into = [one for place, one in enumerate(windows) if place * times // segments == seen]
    assert heated == [first + number for one in into for number in one]


def test_of_several_windows_the_film_shows_the_explained_one(tmp_path: Path) -> None:
    source, film = tmp_path / "grey.avi", tmp_path / "film.mp4"
    with video_writer(source, width=WIDTH, height=HEIGHT, fps=10, codec="ffv1") as write:
        for _ in range(30):
            write(np.full((HEIGHT, WIDTH, 3), 60, np.uint8))
    clip = np.full((SEGMENTS, HEIGHT, WIDTH, 3), 60, np.uint8)
    hot = Explanation(clip, "a", 0.5, "made up", torch.ones(2, 1, 1), None)
    write_film(source, film, hot, mix_settings(), MixedClip(1.0, 2.5, clip))
    frames = stream_frames(film, size=(HEIGHT, WIDTH), fit="squeeze")
    heated = [number for number, frame in enumerate(frames) if frame[HEIGHT // 2 :].mean() > 100]
    assert heated == list(range(10, 25))


def test_the_film_is_cut_as_the_network_sees_it(tmp_path: Path) -> None:
    source, film = tmp_path / "wide.avi", tmp_path / "film.mp4"
    frame = np.full((81, 243, 3), 255, np.uint8)
    frame[:, 81:-81] = 60
    with video_writer(source, width=243, height=81, fps=25, codec="ffv1") as write:
        for _ in range(SEGMENTS):
            write(frame)
    mix = mix_settings(size=[81, 81], fit="crop")
    clip = np.full((SEGMENTS, 81, 81, 3), 60, np.uint8)
    write_film(source, film, Explanation(clip, "a", 0.5, "cold", torch.zeros(2, 1, 1), None), mix)
    info = describe(film)
    assert (info.height, info.width) == (242, 242)  # three times as large, and even for H.264
    lower = np.stack(list(stream_frames(film, size=(242, 242), fit="squeeze")))[:, 121:, 4:-4]
    assert np.abs(lower.astype(int) - 60).max() < 10


def test_the_film_keeps_the_pace_of_a_video_whose_frame_rate_changes(tmp_path: Path) -> None:
    source, film = slowing_down(tmp_path / "a.mp4"), tmp_path / "film.mp4"
    mix = mix_settings(size=[48, 64])
    clip = np.zeros((mix.segments, *mix.frame_shape), np.uint8)
    cold = Explanation(clip, "a", 0.5, "made up", torch.zeros(2, 1, 1), None)
    write_film(source, film, cold, mix)
    fps = describe(film).fps
    frames = list(stream_frames(film, size=(48, 64), fit="squeeze"))
    corner = [frame[-8:, -8:].mean() for frame in frames]
    expected = [(4 + 16 * (number / fps // 1)) * 255 / 219 for number in range(len(frames))]
    assert np.mean(np.abs(np.subtract(corner, expected)) < 6) > 0.8  # all but where seconds change


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


def test_a_class_can_be_named(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.safetensors", nonlocal_config())
    clip = clips(0, 1)[0]
    named = [explain_clip(model, clip, name) for name in ACTIONS]
    assert [one.class_name for one in named] == list(ACTIONS)
    assert sum(one.probability for one in named) == pytest.approx(1.0)
    likeliest = explain_clip(model, clip)
    assert likeliest.probability == max(one.probability for one in named)
    for unknown in ("Sleeping", ""):
        with pytest.raises(ModelError, match=f"class = '{unknown}': allowed: ApplyLipstick"):
            explain_clip(model, clip, unknown)


def test_of_a_long_video_a_window_as_long_as_the_models_clips_is_explained(tmp_path: Path) -> None:
    write_model(tmp_path / "model.safetensors", nonlocal_config(), trained_on=record(2.0))
    video = write_video(tmp_path / "a.avi", frames=43)
    for options, length in (((), 2.0), (("--window", 60), 4.3)):
        done = run(tmp_path / "model.safetensors", video, "-o", tmp_path / "out", *options)
        found = re.search(r" at (\d\.\d) to (\d\.\d) s, ", done.stdout)
        assert found, done.output
        assert float(found[2]) - float(found[1]) == pytest.approx(length)
        assert count_frames(tmp_path / "out.mp4") == 43


@pytest.mark.parametrize("network", ["vivit", "nonlocal"])
def test_an_explanation_is_of_what_predict_reports(network: str, tmp_path: Path) -> None:
    config = nonlocal_config() if network == "nonlocal" else None
    model = write_model(tmp_path / "model.safetensors", config)
    clip = clips(0, 1)
    said = load_classifier(tmp_path / "model.safetensors", "cpu").probabilities(clip)[0]
    model.network.train()
    for name, probability in zip(ACTIONS, said, strict=True):
        assert explain_clip(model, clip[0], name).probability == pytest.approx(probability)


def test_grad_cam_is_of_the_named_class_and_1_where_it_is_largest(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.safetensors", nonlocal_config())
    assert isinstance(model.network, NonLocalNet)
    torch.nn.init.uniform_(model.network.fc.weight)  # of every map, some for each class
    clip = clips(0, 1)
    stored = normalise(torch.from_numpy(clip), model.mean, model.std)
    for label, name in enumerate(ACTIONS):
        heat = grad_cam(model.network, stored, label)
        torch.testing.assert_close(explain_clip(model, clip[0], name).relevance, heat / heat.max())


def test_a_class_that_nothing_speaks_for_is_pictured_without_heat(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.safetensors", nonlocal_config())
    assert isinstance(model.network, NonLocalNet)
    torch.nn.init.constant_(model.network.fc.weight, -1.0)
    explanation = explain_clip(model, clips(0, 1)[0])
    assert not explanation.relevance.any()
    assert [axes.get_title() for axes in draw_explanation(explanation).axes[4:8]] == ["0%"] * 4


def test_the_links_shown_are_of_the_last_block(tmp_path: Path) -> None:
    changes = {"depth": 50, "nonlocal_blocks": 5}
    config = nonlocal_config().model_copy(update=changes)
    model = write_model(tmp_path / "model.safetensors", config)
    links = explain_clip(model, clips(0, 1)[0]).links
    assert links is not None
    assert links.grid == (SEGMENTS, 1, 2)  # of layer3, not of layer2


def test_links_lead_from_the_place_where_they_start_to_those_where_they_end() -> None:
    links = Links((4, 2, 3), (1, 0, 2), [((3, 1, 0), 0.8), ((0, 0, 1), 0.4)])
    clip = np.zeros((8, HEIGHT, WIDTH, 3), np.uint8)
    figure = draw_explanation(Explanation(clip, "a", 0.5, "made up", torch.ones(4, 2, 3), links))
    assert figure.get_suptitle() == "a: 50.0%"
    panels, arrows = figure.axes[16:], figure.findobj(ConnectionPatch)
    assert [(panels.index(arrow.axesA), arrow.xy1) for arrow in arrows] == [(2, (19.5, 3.5))] * 2
    ends = [(panels.index(arrow.axesB), arrow.xy2) for arrow in arrows]
    assert ends == [(6, (3.5, 11.5)), (0, (11.5, 3.5))]
    assert [arrow.get_linewidth() for arrow in arrows] == pytest.approx([1.8, 1.1])
    (dot,) = panels[2].lines
    assert dot.get_xydata().tolist() == [[19.5, 3.5]]


@pytest.mark.parametrize(
    ("start", "segments"),
    [(4, [1, 3, 5, 7, 10, 12, 14, 16]), (7, [1, 3, 5, 8, 10, 12, 14, 16])],
)
def test_of_many_segments_some_are_shown_and_that_where_the_links_start(
    start: int, segments: list[int]
) -> None:
    links = Links((16, 1, 1), (start, 0, 0), [((1, 0, 0), 0.9), ((15, 0, 0), 0.5)])
    clip = np.zeros((16, HEIGHT, WIDTH, 3), np.uint8)
    figure = draw_explanation(Explanation(clip, "a", 0.5, "made up", torch.ones(16, 1, 1), links))
    panels = figure.axes[16:]
    assert [axes.get_xlabel() for axes in panels] == [f"segment {s} of 16" for s in segments]
    (arrow,) = figure.findobj(ConnectionPatch)  # the other end is in a segment that is not shown
    assert (panels.index(arrow.axesA), panels.index(arrow.axesB)) == (segments.index(start + 1), 7)


def test_shares_in_the_picture_sum_to_the_whole(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.safetensors")
    figure = draw_explanation(explain_clip(model, clips(0, 1)[0]))
    titles = [axes.get_title() for axes in figure.axes]
    shares = [float(title.rstrip("%")) for title in titles if title.endswith("%")]
    assert len(shares) == SEGMENTS
    assert np.sum(shares) == pytest.approx(100, abs=SEGMENTS)


def test_a_bad_video_is_reported(tmp_path: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    (tmp_path / "a.avi").write_text("no video")
    done = run(tmp_path / "model.safetensors", tmp_path / "a.avi")
    assert done.exit_code == 1
    assert "a.avi: is no AVI" in str(done.exception)


def test_no_output_is_written_over_the_video_or_where_none_can_be(tmp_path: Path) -> None:
    model, video = tmp_path / "model.safetensors", write_video(tmp_path / "a.mp4")
    write_model(model)
    before = video.read_bytes()
    done = run(model, video, "-o", tmp_path / "a")
    assert f"a.mp4: would overwrite {video}; allowed: another file" in str(done.exception)
    assert video.read_bytes() == before
    assert not (tmp_path / "a.png").exists()
    done = run(model, video, "-o", tmp_path / "none/a")
    assert "none/a.png: cannot be written: No such file" in str(done.exception)
    done = run(model, video, "-o", "")
    assert "--output .: allowed: a name, to which .png and .mp4 are added" in str(done.exception)
