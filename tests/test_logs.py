"""What users may rely on who watch a training: logs of its steps, which change no result."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from framemix.errors import ParamsError
from framemix.models import build_model
from framemix.project.params import load_params
from framemix.training.logs import STEPS_BETWEEN_LOGS, Logs
from framemix.training.run import OUTPUTS, Run, train
from framemix.training.settings import LoggerName
from tests.tiny_store import (
    ACTIONS,
    examples_of,
    machine,
    make_store,
    training_settings,
    vivit_config,
)

EPOCHS = 5
LOGGED = {
    "loss",
    "learning_rate",
    "gradient_norm",
    "clips_per_second",
    "share_waiting_for_clips",
    "memory_gb",
}


def trained(folder: Path, *names: LoggerName, during: Callable[[], None] | None = None) -> Path:
    """Train on a tiny store below `folder`; return the folder of the run's logs.

    `during` is called with each batch.
    """
    store = make_store(folder / "store")
    torch.manual_seed(0)
    config = vivit_config()
    network = build_model(config)
    if during is not None:
        network.register_forward_pre_hook(lambda *_: during())
    run = Run(
        network,
        config,
        list(ACTIONS),
        examples_of(store, "train"),
        examples_of(store, "val"),
        training_settings(epochs=EPOCHS, batch_size=2),
        0,
        {},
    )
    here = replace(machine(folder / "scratch"), logs=Logs(folder / "logs" / "pretrain", names))
    done = train(run, here)
    assert {name for name in OUTPUTS if (done / name).is_file()} == set(OUTPUTS)
    runs = list((folder / "logs" / "pretrain").glob("*"))
    assert len(runs) <= 1
    return runs[0] if runs else done


def rows_of(run: Path) -> list[dict[str, str]]:
    (file,) = run.glob("version_*/metrics.csv")
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_steps_and_epochs_are_in_a_table_of_the_run(tmp_path):
    rows = rows_of(trained(tmp_path, "csv"))
    steps = [row for row in rows if row["loss"]]
    assert steps
    assert all(int(row["step"]) % STEPS_BETWEEN_LOGS == 0 for row in steps)
    assert all(float(row[name]) >= 0 for row in steps for name in LOGGED)
    assert all(float(row["share_waiting_for_clips"]) <= 1 for row in steps)
    assert len([row for row in rows if row["val_top1"]]) == EPOCHS


def test_logs_change_no_result(tmp_path):
    without = trained(tmp_path / "without")
    names: tuple[LoggerName, ...] = ("csv", "tensorboard") if find_spec("tensorboard") else ("csv",)
    trained(tmp_path / "with", *names)
    (kept,) = (tmp_path / "with" / "scratch").glob("*/model.safetensors")
    assert kept.read_bytes() == (without / "model.safetensors").read_bytes()


def test_tensorboard_follows_a_run_and_reads_it_back(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read() -> dict[str, int]:
        (run,) = (tmp_path / "logs/pretrain").glob("*/tensorboard")
        events = EventAccumulator(str(run)).Reload()
        return {name: len(events.Scalars(name)) for name in events.Tags()["scalars"]}

    epochs: list[int] = []
    trained(tmp_path, "tensorboard", during=lambda: epochs.append(read().get("val_top1", 0)))
    assert set(epochs) == set(range(EPOCHS))
    assert {*LOGGED, "val_top1"} <= read().keys()
    assert read()["val_top1"] == EPOCHS


def test_dvclive_follows_a_run_and_makes_no_experiment(tmp_path, monkeypatch):
    pytest.importorskip("dvclive")
    monkeypatch.chdir(tmp_path)

    def read() -> list[str]:
        found = (tmp_path / "logs/pretrain").glob("*/dvclive/plots/metrics/val/top1.tsv")
        return [line for file in found for line in file.read_text().splitlines()[1:]]

    epochs: list[int] = []
    run = trained(tmp_path, "dvclive", during=lambda: epochs.append(len(read())))
    assert set(epochs) == set(range(EPOCHS))
    assert len(read()) == EPOCHS
    assert json.loads((run / "dvclive/metrics.json").read_text())["loss"] > 0
    assert not list(tmp_path.glob("**/dvc.yaml"))


def test_mlflow_has_all_epochs_of_a_run(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    trained(tmp_path, "mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/logs/mlflow.db")
    (experiment,) = (e for e in client.search_experiments() if e.name == "framemix")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics.keys() >= LOGGED
    assert len(client.get_metric_history(run.info.run_id, "val_top1")) == EPOCHS


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_logger_whose_package_is_missing_is_refused_before_anything_is_trained(tmp_path, name):
    if find_spec(name):
        pytest.skip(f"{name} is installed")
    with pytest.raises(ParamsError, match=f"loggers: {name}: .*not installed.*pip install {name}"):
        trained(tmp_path, name)


def test_the_default_logs_to_a_table_that_needs_no_package():
    assert load_params().runtime.loggers == ("csv",)
