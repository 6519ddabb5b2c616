"""What users may rely on in a model and its file: built by name, saved whole, read with care."""

import hashlib
import inspect
import json
import os
import random
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import framemix.models
from framemix.errors import ModelError
from framemix.models import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    TrainedModel,
    build_model,
    load_model,
    normalise,
    save_model,
)
from framemix.models.config import FrameNetConfig, NonLocalConfig, ViViTConfig
from framemix.models.i3d import I3D
from framemix.models.input import to_rgb
from framemix.models.nonlocal_net import NonLocalNet
from framemix.models.tsn import TSM, TSN
from framemix.models.vivit import ViViT
from tests.tiny_model import record

VIVIT = ViViTConfig(
    attention="factorised_encoder",
    tokeniser="tubelet",
    image_size=(16, 24),
    image_patch_size=8,
    frames=4,
    frame_patch_size=2,
    num_classes=3,
    dim=16,
    spatial_depth=1,
    temporal_depth=1,
    heads=2,
    dim_head=8,
    mlp_dim=32,
    dropout=0.1,
)
NONLOCAL = NonLocalConfig(
    depth=10,
    num_classes=3,
    width=4,
    pairwise="embedded_gaussian",
    nonlocal_blocks=1,
    subsample=False,
    dropout=0.1,
)
TSN_, TSM_, I3D_ = (
    FrameNetConfig(architecture=name, depth=10, num_classes=3, width=8, dropout=0.1)
    for name in ("tsn", "tsm", "i3d")
)
NETWORKS = [(VIVIT, ViViT), (NONLOCAL, NonLocalNet), (TSN_, TSN), (TSM_, TSM), (I3D_, I3D)]
MIX = {"method": "linear", "segments": 4, "window": {"frames": 150, "at": "start"}}
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
# Saves a model: argv[1] is the file.
SAVE = """
import sys, torch
from pathlib import Path
from framemix.models import IMAGENET_MEAN, IMAGENET_STD, TrainedModel, build_model, save_model
from framemix.models.config import NonLocalConfig
torch.manual_seed(0)
config = NonLocalConfig(
    depth=10, num_classes=2, width=4, pairwise="gaussian", nonlocal_blocks=1, subsample=True,
    dropout=0.0)
mix = {"b": 1, "a": {"d": 2, "c": 3}}
network = build_model(config)
trained = TrainedModel(network, config, ["x", "y"], mix, IMAGENET_MEAN, IMAGENET_STD)
save_model(Path(sys.argv[1]), trained)
"""


def trained(config=VIVIT):
    return TrainedModel(
        network=build_model(config),
        config=config,
        classes=["Archery", "Über", "drowsy"],
        mix=MIX,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_a_model_was_trained_on_is_read_back_and_may_be_missing(tmp_path):
    path, said = tmp_path / "model.safetensors", record(5.0, drawn=True)
    tuned = said.model_copy(update={"start": said})
    for known in (None, said, tuned):
        save_model(path, replace(trained(), trained_on=known))
        assert load_model(path).trained_on == known
    with safe_open(path, framework="pt") as file:
        content = json.loads(file.metadata()["framemix"])
    for later in ("trained_on", "checksum"):  # what earlier versions did not write
        content.pop(later, None)
    save_file(load_file(path), path, metadata={"framemix": json.dumps(content)})
    assert load_model(path).trained_on is None


@pytest.mark.parametrize(("config", "network"), NETWORKS)
def test_builds_the_named_architecture_from_a_config_or_a_mapping(config, network):
    for given in (config, config.model_dump(), config.model_dump(mode="json")):
        torch.manual_seed(3)
        model = build_model(given)
        assert type(model) is network
        torch.manual_seed(3)
        again = build_model(given).state_dict()
        assert all(torch.equal(value, again[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"architecture": "resnet"},
            "architecture = 'resnet': allowed: 'vivit', 'nonlocal', 'tsn', 'tsm', 'i3d'",
        ),
        ({"architecture": None}, "architecture = None: allowed: 'vivit', 'nonlocal'"),
        ({"nonlocal_blocks": 3}, "nonlocal_blocks = 3: .*1 or 5"),
        ({"weights": None}, "weights: unknown key; allowed: "),
        ({"depth": 34}, "depth = 34: .*10, 50 or 101"),
        ({"pairwise": "cosine"}, "pairwise = 'cosine': .*'embedded_gaussian', "),
        ({"classes": 3}, "classes: unknown key; allowed: .*num_classes"),
        ({"num_classes": 0}, "num_classes = 0: .*greater than 0"),
        ({"dropout": 1.0}, "dropout = 1.0: .*less than 1"),
    ],
)
def test_build_names_the_key_that_does_not_fit(change, message):
    with pytest.raises(ModelError, match=f"^{message}") as caught:
        build_model(NONLOCAL.model_dump() | change)
    assert "\n" not in str(caught.value)


def test_build_names_missing_keys():
    with pytest.raises(ModelError, match="architecture = None"):
        build_model({})
    with pytest.raises(ModelError, match=r"^num_classes: missing; allowed: "):
        build_model(NONLOCAL.model_dump(exclude={"num_classes"}))


@pytest.mark.parametrize(("config", "network"), NETWORKS)
def test_configs_hold_every_argument_of_the_constructor(config, network):
    arguments = inspect.signature(network).parameters.keys()
    assert type(config).model_fields.keys() - {"architecture"} == arguments


@pytest.mark.parametrize("config", [NONLOCAL, TSN_, TSM_, I3D_])
def test_a_convolutional_network_drops_features_out_in_training_only(config):
    network = build_model(config.model_copy(update={"dropout": 0.5}))
    video = torch.randn(2, 3, 4, 16, 24)
    assert not torch.equal(network(video), network(video))
    network.eval()
    assert torch.equal(network(video), network(video))


def test_configs_are_free_of_torch():
    script = "import sys, framemix.models.config; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, env=ENVIRONMENT)


def test_the_package_offers_what_it_lists():
    assert all(hasattr(framemix.models, name) for name in framemix.models.__all__)
    assert not hasattr(framemix.models, "nothing")


@pytest.mark.parametrize("config", [config for config, _ in NETWORKS])
def test_a_saved_model_predicts_as_before(tmp_path, config):
    model = trained(config)
    video = torch.randn(2, 3, 4, 16, 24)
    model.network(video)  # moves the running statistics of batch norms
    save_model(tmp_path / "model.safetensors", model)
    random_state = torch.get_rng_state()
    loaded = load_model(str(tmp_path / "model.safetensors"))
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(loaded.network(video), model.network.eval()(video))
    assert replace(loaded, network=model.network) == model
    assert all(p.requires_grad for p in loaded.network.parameters())
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("config", [config for config, _ in NETWORKS])
@pytest.mark.parametrize("frame_shape", [(16, 24, 3), (24, 24)])
def test_a_model_takes_stored_clips_in_the_colours_that_it_was_trained_on(config, frame_shape):
    model = trained(config)
    model.network.eval()
    clips = torch.randint(0, 256, (2, 4, *frame_shape), dtype=torch.uint8)
    for own in (model, replace(model, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))):
        expected = own.network(normalise(clips, own.mean, own.std))
        torch.testing.assert_close(own.logits(clips), expected)


def test_equal_models_are_equal_bytes_in_any_process(tmp_path, monkeypatch):
    here, there = (tmp_path / name for name in ("here", "there"))
    monkeypatch.setattr(sys, "argv", ["", here])
    exec(SAVE, {})
    subprocess.run([sys.executable, "-c", SAVE, there], check=True, env=ENVIRONMENT)
    assert digest(here) == digest(there)


def test_loading_a_model_does_not_load_torchs_compiler(tmp_path):
    for config in (VIVIT, NONLOCAL, TSN_, TSM_):
        save_model(tmp_path / config.architecture, trained(config))
    code = (
        "import sys\n"
        "from framemix.models import load_model\n"
        "assert [load_model(file) for file in sys.argv[1:]]\n"
        "assert not {'torch._dynamo', 'sympy'} & sys.modules.keys()"
    )
    files = list(tmp_path.iterdir())
    subprocess.run([sys.executable, "-c", code, *files], check=True, env=ENVIRONMENT)


def test_saves_odd_tensors_as_plain_fp32(tmp_path):
    model = trained(NONLOCAL)
    network = model.network.to(memory_format=torch.channels_last_3d).bfloat16()
    network.bn1.bias = network.bn1.weight  # shared memory
    save_model(tmp_path / "model", model)
    loaded = load_model(tmp_path / "model").network
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.conv1.weight, network.conv1.weight.float())
    assert torch.equal(loaded.bn1.bias, loaded.bn1.weight)


def test_a_saved_model_is_as_readable_as_any_new_file(tmp_path):
    save_model(tmp_path / "model", trained())
    (tmp_path / "other").touch()
    assert (tmp_path / "model").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_failed_save_leaves_the_old_model(tmp_path):
    path = tmp_path / "model"
    save_model(path, trained())
    before = digest(path)
    with pytest.raises(Exception, match="serialize"):
        save_model(path, replace(trained(), mix={"method": object()}))
    assert [path] == list(tmp_path.iterdir())
    assert digest(path) == before


def test_refuses_class_names_that_do_not_match_the_network():
    with pytest.raises(ModelError, match="classes = 1 names: the network has 3"):
        replace(trained(), classes=["only"])


def test_load_says_what_is_wrong_with_a_file(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    save_model(good, trained())
    content = good.read_bytes()
    unlike = good.read_bytes().replace(b"head.1.bias", b"head.9.bias", 1)

    def expect(message, content=None):
        if content is not None:
            bad.write_bytes(content)
        with pytest.raises(ModelError, match=message) as caught:
            load_model(bad)
        assert str(caught.value).startswith(f"{bad}: ")
        assert "\n" not in str(caught.value)

    expect("no such model file")
    (tmp_path / "model.onnx").write_bytes(b"PK")
    with pytest.raises(ModelError, match=r"model.onnx: an ONNX file; allowed: model.safetensors"):
        load_model(tmp_path / "model.onnx")
    expect("not a readable safetensors file", b"")
    expect("not a readable safetensors file", b"PK\x03\x04 not safetensors at all")
    expect("not a readable safetensors file", content[:-1])
    expect(r"another shape: head\.1\.bias, head\.9\.bias", unlike)
    for metadata, message in [
        (None, "no 'framemix' metadata"),
        ({"framemix": "{"}, "metadata: Invalid JSON: EOF"),
        ({"framemix": "{}"}, "metadata: config: missing"),
    ]:
        save_file({"x": torch.zeros(1)}, bad, metadata=metadata)
        expect(message)
    bad.unlink()
    bad.mkdir()
    expect("a folder; allowed: a model.safetensors")


def with_metadata(path, change):
    """Write the model at `path` again, with other metadata."""
    with safe_open(path, "pt") as file:
        metadata = change(json.loads(file.metadata()["framemix"]))
    save_file(load_file(path), path, {"framemix": json.dumps(metadata, sort_keys=True)})


def test_a_nonlocal_model_of_an_earlier_version_pools_and_scales_as_it_did(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, trained(NONLOCAL))

    def older(metadata):
        config = {k: v for k, v in metadata["config"].items() if k not in ("pool", "scaled")}
        return {**metadata, "config": config, "checksum": None}

    with_metadata(path, older)
    assert load_model(path).config == NONLOCAL
    assert (NONLOCAL.pool, NONLOCAL.scaled) == ("after", False)


NONLOCAL_SIZES = [{"width": 10**9}, {"num_classes": 10**18}]
VIVIT_SIZES = [
    {"spatial_depth": 10**5},
    {"temporal_depth": 10**5},
    {"dim": 10**18},
    {"mlp_dim": 10**18},
    {"heads": 10**9, "dim_head": 10**9},
    {"image_size": [10**9, 10**9]},
    {"image_patch_size": 10**9, "image_size": [10**9, 10**9]},
    {"frames": 10**12, "frame_patch_size": 10**12},
    {"num_classes": 10**30},
]


@pytest.mark.parametrize(
    ("config", "sizes"),
    [*((VIVIT, sizes) for sizes in VIVIT_SIZES), *((NONLOCAL, sizes) for sizes in NONLOCAL_SIZES)],
)
def test_absurd_sizes_in_a_file_are_refused_before_anything_is_built(
    tmp_path, config, sizes, monkeypatch
):
    path = tmp_path / "model.safetensors"
    save_model(path, trained(config))
    with_metadata(path, lambda metadata: {**metadata, "config": {**metadata["config"], **sizes}})
    monkeypatch.setattr("framemix.models.saved.build_model", lambda config: pytest.fail("built"))
    with pytest.raises(ModelError, match=f"^{path}: .* = 10*: allowed: less than or equal to "):
        load_model(path)


@pytest.mark.parametrize("key", ["mean", "std"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_colours_that_are_not_finite_are_refused(tmp_path, key, value):
    path = tmp_path / "model.safetensors"
    save_model(path, trained())
    with_metadata(path, lambda metadata: {**metadata, key: [0.5, value, 0.5]})
    with pytest.raises(ModelError, match=rf"^{path}: metadata: {key}\.1 = .*: allowed: ") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_of_many_weights_that_do_not_fit_few_are_named(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, trained())
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    strange = {f"strange.{number:04}": torch.zeros(1) for number in range(3000)}
    save_file({**load_file(path), **strange}, path, metadata)
    with pytest.raises(ModelError) as caught:
        load_model(path)
    assert str(caught.value).endswith(
        "another shape: strange.0000, strange.0001, strange.0002, "
        "strange.0003, strange.0004 and 2995 more"
    )


def test_a_flipped_bit_anywhere_in_a_model_is_noticed(tmp_path):
    path, generator = tmp_path / "model.safetensors", random.Random(0)
    save_model(path, trained())
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    bits = [generator.randrange(8 * size) for size in (header, len(whole)) for _ in range(60)]
    for bit in bits:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(ModelError) as caught:
            load_model(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_a_number_of_the_metadata_that_is_written_otherwise_is_noticed(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, replace(trained(), mean=(0.1 + 0.2, 0.3, 0.4)))
    whole = path.read_bytes()
    assert float("0.30000000000000004") == float("0.30000000000000005")
    path.write_bytes(whole.replace(b"0.30000000000000004", b"0.30000000000000005"))
    assert path.read_bytes() != whole
    with pytest.raises(ModelError, match="damaged, or changed since it was saved"):
        load_model(path)


def test_a_model_from_before_there_were_checksums_is_read(tmp_path):
    path, model = tmp_path / "model.safetensors", trained()
    save_model(path, model)

    def without_checksum(metadata):
        assert len(metadata.pop("checksum")) == 64
        return metadata

    with_metadata(path, without_checksum)
    assert replace(load_model(path), network=model.network) == model


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.int32, torch.bool])
def test_weights_that_another_program_converted_are_refused_with_their_type(tmp_path, dtype):
    path = tmp_path / "model.safetensors"
    save_model(path, trained())
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    weights = load_file(path)
    save_file({**weights, "head.1.bias": weights["head.1.bias"].to(dtype)}, path, metadata)
    with pytest.raises(ModelError) as caught:
        load_model(path)
    assert str(caught.value) == (
        f"{path}: weights of another type: head.1.bias is {dtype}; allowed: torch.float32"
    )


def test_normalise_scales_shifts_and_puts_colours_first():
    clips = torch.randint(0, 256, (2, 3, 4, 5, 3), dtype=torch.uint8)
    x = normalise(clips, IMAGENET_MEAN, IMAGENET_STD, torch.float64)
    expected = (
        (clips / 255.0).double().sub(torch.tensor(IMAGENET_MEAN)).div(torch.tensor(IMAGENET_STD))
    )
    torch.testing.assert_close(x, expected.permute(0, 4, 1, 2, 3), rtol=1e-5, atol=1e-5)
    assert x.is_contiguous()


def test_colours_are_normalised_as_torchvisions_image_weights_expect_red_first():
    assert IMAGENET_MEAN == (0.485, 0.456, 0.406)
    assert IMAGENET_STD == (0.229, 0.224, 0.225)


def test_normalise_rounds_to_the_short_type_only_at_the_end():
    clips = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 1, 256, 1).expand(1, 1, 1, 256, 3)
    exact = normalise(clips, IMAGENET_MEAN, IMAGENET_STD)
    short = normalise(clips, IMAGENET_MEAN, IMAGENET_STD, torch.bfloat16)
    assert exact.dtype == torch.float32
    assert torch.equal(short, exact.bfloat16())


def test_planes_become_the_rgb_that_bt601_says():
    y, u, v = torch.randint(0, 256, (3, 2, 3, 6, 8), dtype=torch.uint8).unbind()
    u, v = u[..., ::2, ::2], v[..., ::2, ::2]
    planes = torch.cat([plane.flatten(2) for plane in (y, u, v)], dim=2).view(2, 3, 9, 8)
    kr, kb = 0.299, 0.114  # luma weights of BT.601; Y' = kr R + kg G + kb B
    luma = (y.double() - 16) / 219
    pb, pr = (
        (x.double().repeat_interleave(2, -1).repeat_interleave(2, -2) - 128) / 224 for x in (u, v)
    )
    red, blue = luma + 2 * (1 - kr) * pr, luma + 2 * (1 - kb) * pb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    expected = (255 * torch.stack([red, green, blue], dim=-1)).clamp(0, 255)
    rgb = to_rgb(planes)
    assert rgb.dtype == torch.uint8
    assert (rgb - expected).abs().max() < 0.501


def test_rgb_clips_stay_as_they_are():
    clips = torch.randint(0, 256, (2, 3, 4, 6, 3), dtype=torch.uint8)
    assert to_rgb(clips) is clips


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_planes_are_normalised_as_their_rgb_is_but_for_its_rounding(dtype):
    planes = torch.randint(0, 256, (2, 3, 9, 8), dtype=torch.uint8)
    x = normalise(planes, IMAGENET_MEAN, IMAGENET_STD, dtype)
    assert x.shape == (2, 3, 3, 6, 8)
    assert x.dtype == dtype
    assert x.is_contiguous()
    half = torch.tensor(IMAGENET_STD).mul(255).reciprocal().view(3, 1, 1, 1).mul(0.501)
    short = x.float().abs() * torch.finfo(dtype).eps
    expected = normalise(to_rgb(planes), IMAGENET_MEAN, IMAGENET_STD)
    assert ((x.float() - expected).abs() <= half + short).all()


def test_normalised_planes_stay_in_the_range_of_rgb():
    planes = torch.randint(0, 256, (2, 3, 9, 8), dtype=torch.uint8)
    x = normalise(planes, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert (x.min().item(), x.max().item()) == (0.0, 1.0)
