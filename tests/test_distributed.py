"""Two processes on the CPU train as one does."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import warm
from tests.tiny_store import NO_AUGMENT, VARIANTS, make_store
from tests.warm import WarmProcess

ROOT = Path(__file__).resolve().parents[1]
# Each of the two processes runs all of it, as each runs a stage.
TRAINING = """
import stages  # loads libraries as a stage does, which is faster
import json, os, signal, sys
from pathlib import Path
import numpy as np
import torch
from framemix.metrics.intervals import ClipMetrics
from framemix.metrics.measures import share_measure
from framemix.models import build_model
from framemix.project.stage import run_stage
from framemix.store import MixedStore
from framemix.training.module import TrainingModule
from framemix.training.run import Run
from framemix.training.seeds import train_seeds
from tests import tiny_store as tiny

job = json.loads(sys.argv[1])
step = TrainingModule.training_step

def stepping(self, batch, number):
    place = f"{self.global_rank} {self.current_epoch} {number}"
    (Path(job["folder"]) / f"seed of {place}").write_text(str(torch.initial_seed()))
    if [self.current_epoch, number] == job["moment"] and self.global_rank == job["rank"]:
        os.kill(os.getpid(), signal.SIGTERM)
    return step(self, batch, number)

TrainingModule.training_step = stepping

def start(seed):
    torch.manual_seed(seed)
    config = tiny.vivit_config(dropout=job["dropout"])
    store = MixedStore(Path(job["store"]))
    return Run(
        build_model(config), config, list(tiny.ACTIONS), tiny.examples_of(store, "train"),
        tiny.examples_of(store, "val"), tiny.training_settings(**job["settings"]), seed, {},
    )

def main():
    here = tiny.machine(
        Path(job["folder"]) / "scratch", devices=job["devices"], num_nodes=job["num_nodes"]
    )
    out = Path(job["folder"]) / "out"
    evaluated = [ClipMetrics([share_measure("top1", np.array([True]))], ["one"])]
    train_seeds(start, job["seeds"], lambda trained: evaluated, {}, {}, out, here)

run_stage(main)
"""
SLURM = {"SLURM_JOB_NAME": "train", "SLURM_PROCID": "0"}
Training = WarmProcess | subprocess.Popen[str]
NODES = [{"SLURM_PROCID": str(node), "SLURM_NODEID": str(node)} for node in (0, 1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    make_store(folder / "store", **VARIANTS)
    (folder / "training.py").write_text(TRAINING)
    return folder


@pytest.fixture(scope="module")
def one(folder: Path) -> list[list[float]]:
    """The losses of one process that trains alone, into `folder`/one."""
    assert run(folder, "one", devices=1) == 0
    return history(folder, "one")


def run(folder: Path, name: str, devices: int = 2, *, slurm_tasks: int = 0, **job: Any) -> int:
    """Train with two processes into `folder`/`name` and return the exit code."""
    variables = {"SLURM_NTASKS": str(slurm_tasks)} | SLURM if slurm_tasks else {}
    return finish(start(folder, name, devices, variables, **job))[0]


def start(folder: Path, name: str, devices: int, variables: dict[str, str], **job: Any) -> Training:
    """Start a training into `folder`/`name`."""
    chosen = {
        "store": str(folder / "store"),
        "folder": str(folder / name),
        "devices": devices,
        "num_nodes": 1,
        "moment": None,
        "rank": 0,
        "dropout": 0.0,
        "seeds": [0],
        "settings": {"batch_size": 5, "augment": NO_AUGMENT, "epochs": 4},
        **job,
    }
    here = {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "OMP_NUM_THREADS": "1", **variables}
    arguments = [str(folder / "training.py"), json.dumps(chosen)]
    environment = {**os.environ, **here}
    # Lightning reads its rank as it is imported; where it was imported before, that is 0.
    if variables.get("SLURM_PROCID", "0") == "0":
        return warm.start(arguments, env=environment)
    return subprocess.Popen(
        [sys.executable, *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )


def finish(training: Training, timeout: float = 120) -> tuple[int, str]:
    """Return the exit code and what was said on standard error."""
    try:
        _, said = training.communicate(timeout=timeout)
    finally:
        training.send_signal(signal.SIGKILL)
    assert "Traceback" not in said, said
    return training.wait(), said


def two_nodes(port: int) -> dict[str, str]:
    """What SLURM tells each process of a job of two nodes, which meet at that port."""
    tasks = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "2"}
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return {**tasks, **SLURM, "SLURM_LOCALID": "0", **where}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def history(folder: Path, name: str) -> list[list[float]]:
    with (folder / name / "out/history.csv").open(newline="") as file:
        return [[float(value) for value in row.values()] for row in csv.DictReader(file)]


def test_two_processes_give_the_loss_curve_of_one_with_the_same_batches_and_variants(
    folder: Path, one: list[list[float]]
) -> None:
    # 12 clips at batch 5: the last step has a clip for each process, val's last batch none for one.
    assert run(folder, "two") == 0
    two = history(folder, "two")
    assert len(one) == len(two) == 4
    assert one[0][1] != one[-1][1]
    for alone, together in zip(one, two, strict=True):
        # float32, summed in another order: far below what another variant, which is other noise,
        # makes of a loss.
        assert together == pytest.approx(alone, abs=2e-5)
    timing = json.loads((folder / "two/out/timing.json").read_text())
    assert timing["device"] == "2 x CPU"
    seeds = [file.read_text() for file in (folder / "two").glob("seed of *")]
    assert len(seeds) == len(set(seeds)) == 2 * 4 * 3  # no process draws what another does


def test_two_nodes_of_a_slurm_job_give_the_loss_curve_of_one_process(
    folder: Path, one: list[list[float]]
) -> None:
    job = two_nodes(free_port())
    trainings = [start(folder, "nodes", 1, job | NODES[number], num_nodes=2) for number in (0, 1)]
    assert [finish(training)[0] for training in trainings] == [0, 0]
    for alone, together in zip(one, history(folder, "nodes"), strict=True):
        assert together == pytest.approx(alone, abs=2e-5)
    seeds = [file.read_text() for file in (folder / "nodes").glob("seed of *")]
    assert len(seeds) == len(set(seeds)) == 2 * 4 * 3


def test_a_stage_of_several_nodes_started_alone_says_how_to_start_it(folder: Path) -> None:
    code, said = finish(start(folder, "alone of two", 1, {}, num_nodes=2))
    assert code == 1
    assert said.startswith("error: runtime.num_nodes = 2: but neither torchrun nor an srun of 2 ")
    assert "docs/gpus.md" in said
    assert said.count("\n") == 1


def test_a_stage_of_several_nodes_started_alone_takes_what_they_have_trained(
    folder: Path, one: list[list[float]]
) -> None:
    shutil.copytree(folder / "one/scratch", folder / "trained/scratch")
    assert run(folder, "trained", devices=1, num_nodes=2) == 0
    assert history(folder, "trained") == one


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM]
)
def test_a_process_that_waits_for_other_nodes_ends_at_a_signal(
    folder: Path, number: signal.Signals
) -> None:
    port = free_port()
    training = start(folder, f"waits {number}", 1, two_nodes(port) | NODES[0], num_nodes=2)
    deadline = time.monotonic() + 60
    while not _listens(training.pid, port):
        assert training.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(0.5)
    training.send_signal(number)
    assert finish(training, timeout=5)[0] == -number


def _listens(pid: int, port: int) -> bool:
    return any(link.laddr.port == port for link in psutil.Process(pid).net_connections("tcp"))


def test_two_processes_whose_training_diverges_end_without_a_model(folder: Path) -> None:
    diverging = {"learning_rate": 1e30, "optimizer": "sgd", "clip_norm": None, "warmup_epochs": 0}
    assert run(folder, "diverged", settings=diverging) != 0
    assert not list((folder / "diverged").rglob("*.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_that_were_stopped_resume_to_the_same_end(folder: Path, rank: int) -> None:
    whole, cut = f"whole {rank}", f"cut {rank}"
    everything: dict[str, Any] = {
        "dropout": 0.1,
        "settings": {"batch_size": 6, "accumulate": 2, "ema_decay": 0.8},
        "seeds": [0, 1],
    }
    assert run(folder, whole, **everything) == 0
    assert run(folder, cut, moment=[1, 1], rank=rank, **everything) == 143
    assert not (folder / cut / "out/model.safetensors").exists()
    assert run(folder, cut, **everything) == 0
    for file in ("model.safetensors", "history.csv", "metrics.json"):
        assert (folder / whole / "out" / file).read_bytes() == (
            folder / cut / "out" / file
        ).read_bytes(), file


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_a_slurm_job_of_one_task_starts_its_processes_itself(folder: Path, devices: int) -> None:
    assert run(folder, f"job {devices}", devices, slurm_tasks=1) == 0
    assert len(history(folder, f"job {devices}")) == 4


@pytest.mark.slow
def test_a_run_begun_by_one_process_is_finished_by_two(folder: Path) -> None:
    assert run(folder, "begun", devices=1, moment=[1, 1]) == 143
    assert run(folder, "begun") == 0
    assert run(folder, "alone", devices=1) == 0
    for begun, alone in zip(history(folder, "begun"), history(folder, "alone"), strict=True):
        assert begun == pytest.approx(alone, abs=2e-5)
