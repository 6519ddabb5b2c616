"""What users may rely on with a GPU: answers as on the CPU, and training that repeats itself."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from framemix.cli import app
from framemix.devices import resolve_device
from framemix.errors import ModelError
from framemix.models import IMAGENET_MEAN, IMAGENET_STD, build_model, load_model, normalise
from framemix.models.config import FinetuneMode
from framemix.models.input import IMAGENET, to_rgb
from framemix.models.registry import parse_config
from framemix.store import MixedStore
from framemix.training.module import TrainingModule
from framemix.training.parts import freeze_for
from framemix.training.prediction import predict
from framemix.training.run import Machine, Run
from tests import tiny_store as tiny
from tests.tiny_model import write_model, write_video

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
FRAME_NET = {"depth": 10, "width": 8, "num_classes": 3, "dropout": 0.0}
NETWORKS: dict[str, dict[str, Any]] = {
    **{
        attention: tiny.vivit_config(attention=attention, dropout=0.0).model_dump()
        for attention in (
            "spatio_temporal",
            "factorised_encoder",
            "factorised_self_attention",
            "factorised_dot_product",
        )
    },
    "nonlocal": {**tiny.nonlocal_config().model_dump(), "dropout": 0.0},
    **{name: {"architecture": name, **FRAME_NET} for name in ("tsn", "tsm", "i3d")},
}


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    """Convolutions in fp32 and not in TF32, which PyTorch takes of its own accord."""
    with torch.backends.cudnn.flags(allow_tf32=False):
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MixedStore:
    return tiny.make_store(tmp_path_factory.mktemp("cuda") / "store")


def stored_clips(pixel_format: str) -> torch.Tensor:
    rgb = tiny.clips(0, 6)
    return torch.from_numpy(rgb if pixel_format == "rgb24" else tiny.as_planes(rgb))


@pytest.mark.parametrize("pixel_format", ["rgb24", "yuv420p"])
def test_stored_clips_become_the_same_floats_and_the_same_rgb(pixel_format: str) -> None:
    clips = stored_clips(pixel_format)
    here, there = (normalise(x, IMAGENET_MEAN, IMAGENET_STD) for x in (clips, clips.to(CUDA)))
    torch.testing.assert_close(there.cpu(), here, rtol=0, atol=1e-5)
    assert (to_rgb(clips.to(CUDA)).cpu().int() - to_rgb(clips).int()).abs().max() <= 1


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_gives_the_cpus_logits_and_gradients(name: str) -> None:
    torch.manual_seed(0)
    network = build_model(NETWORKS[name]).double().eval()
    clips = normalise(stored_clips("rgb24"), IMAGENET_MEAN, IMAGENET_STD)
    found = {}
    for device, dtype in ((CPU, torch.float64), (CUDA, torch.float32)):
        network.to(device, dtype).zero_grad()
        logits = network(clips.to(device, dtype))
        logits.pow(2).sum().backward()
        gradients = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
        found[device] = {"logits": logits.detach(), **gradients}
    assert len(found[CUDA]) > 10
    for what, value in found[CPU].items():
        error = (found[CUDA][what].cpu().double() - value.cpu().double()).norm()
        assert error <= 1e-3 * value.norm().cpu() + 1e-5, what


@pytest.mark.parametrize("pixel_format", ["rgb24", "yuv420p"])
def test_vivit_takes_bytes_as_it_takes_floats(pixel_format: str) -> None:
    torch.manual_seed(0)
    network = build_model(NETWORKS["factorised_encoder"]).to(CUDA)
    clips = stored_clips(pixel_format).to(CUDA)
    floats = normalise(clips, IMAGENET_MEAN, IMAGENET_STD)
    found = []
    for given in (clips, floats):
        network.zero_grad()
        logits = network(given)
        logits.pow(2).sum().backward()
        found.append([logits.detach(), *(p.grad for p in network.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def new_run(store: MixedStore, network: str, mode: FinetuneMode = "all", **settings: Any) -> Run:
    torch.manual_seed(0)
    config = tiny.vivit_config() if network == "vivit" else tiny.nonlocal_config()
    module = build_model(config)
    if network == "vivit":
        freeze_for(module, mode)
    sides = tiny.examples_of(store, "train"), tiny.examples_of(store, "val")
    how = tiny.training_settings(**settings)
    return Run(module, config, list(tiny.ACTIONS), *sides, how, 0, {})


def trained(run: Run, folder: Path, resident: Any = "auto") -> tuple[bytes, str]:
    """Train on the GPU; return the model's bytes and its history."""
    machine = Machine(CUDA, 1, 1, workers=2, resident=resident, scratch=folder / "scratch")
    tiny.train_into(run, folder / "out", machine)
    model = (folder / "out/model.safetensors").read_bytes()
    return model, (folder / "out/history.csv").read_text()


@pytest.mark.parametrize("network", ["vivit", "nonlocal"])
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_clips_in_the_gpus_memory_and_from_workers_train_the_same_model(
    store: MixedStore, tmp_path: Path, network: str, precision: str
) -> None:
    results = [
        trained(new_run(store, network, precision=precision), tmp_path / str(resident), resident)
        for resident in (True, False, "auto")
    ]
    assert results[0] == results[1] == results[2]


def test_a_model_trained_there_predicts_the_same_here(store: MixedStore, tmp_path: Path) -> None:
    run = new_run(store, "vivit", epochs=6)
    trained(run, tmp_path)
    model = load_model(tmp_path / "out/model.safetensors")
    said = [predict(model, run.val, batch_size=4, device=device) for device in (CUDA, CPU)]
    torch.testing.assert_close(*said, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tokeniser", ["tubelet", "uniform_frames"])
def test_the_kernel_makes_tubelets_here(tokeniser: str, dtype: torch.dtype) -> None:
    embedding = build_model(tiny.vivit_config(tokeniser=tokeniser)).embedding.to(CUDA)
    assert embedding._has_kernel(stored_clips("rgb24").to(CUDA), IMAGENET.affine, dtype)


@pytest.mark.parametrize("network", ["vivit", "nonlocal"])
def test_an_interrupted_training_resumes_to_the_same_model(
    store: MixedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    whole = trained(new_run(store, network), tmp_path / "whole")
    step = TrainingModule.training_step

    def fails(self: TrainingModule, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 2:
            raise KeyError("power cut")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", fails)
        with pytest.raises(KeyError, match="power cut"):
            trained(new_run(store, network), tmp_path / "cut")
    assert trained(new_run(store, network), tmp_path / "cut") == whole


@pytest.mark.parametrize("mode", ["spatial_temporal_fc", "temporal_fc", "fc"])
def test_what_frozen_layers_give_is_kept_in_the_precision_of_training(
    store: MixedStore, tmp_path: Path, mode: FinetuneMode
) -> None:
    still = {"augment": dict.fromkeys(tiny.AUGMENT, 0), "precision": "bf16"}
    _, history = trained(new_run(store, "vivit", mode, **still), tmp_path)
    losses = [float(row.split(",")[1]) for row in history.splitlines()[1:]]
    assert losses[-1] < losses[0]


def test_auto_is_a_gpu_and_a_number_behind_the_last_is_one_clear_error() -> None:
    count = torch.cuda.device_count()
    assert resolve_device("auto") == CUDA
    assert resolve_device(f"cuda:{count - 1}") == torch.device("cuda", count - 1)
    with pytest.raises(ModelError, match=rf"^device = cuda:{count}: .* N below {count}$"):
        resolve_device(f"cuda:{count}")


@pytest.mark.parametrize("network", NETWORKS)
def test_predictions_there_are_those_of_the_cpu(tmp_path: Path, network: str) -> None:
    model, video = tmp_path / "model.safetensors", tmp_path / "video.mp4"
    write_model(model, parse_config(NETWORKS[network]))
    write_video(video)
    said = []
    for device in ("cuda", "cpu"):
        arguments = ["predict", str(model), str(video), "--json", "--device", device]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        (result,) = json.loads(done.stdout)
        said.append(result["predictions"][0]["classes"])
    assert said[0] == pytest.approx(said[1], abs=2e-3)


def test_what_a_gpus_memory_cannot_hold_is_one_line_of_a_stage() -> None:
    stage = (
        "import torch\n"
        "from framemix.project.stage import run_stage\n"
        "run_stage(lambda: torch.empty(2**50, dtype=torch.uint8, device='cuda'))"
    )
    done = subprocess.run([sys.executable, "-c", stage], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: CUDA out of memory.")
    assert done.stderr.endswith("; allowed: a smaller batch_size, or more parts: accumulate\n")
    assert done.stderr.count("\n") == 1
