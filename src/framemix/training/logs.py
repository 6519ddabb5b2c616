"""Logs of a training's steps, for people who watch it; no result depends on them."""

import os
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import psutil
import torch
from lightning.pytorch.loggers import CSVLogger, Logger
from torch.nn.utils import get_total_norm

from framemix.errors import ParamsError
from framemix.training.data import Batch
from framemix.training.module import TrainingModule
from framemix.training.settings import LoggerName

STEPS_BETWEEN_LOGS = 10  # so that the norms of gradients cost next to nothing
PROJECT = "framemix"


@dataclass(frozen=True)
class Logs:
    """What the runs of a stage are logged to: loggers, which write below `folder`."""

    folder: Path
    names: tuple[LoggerName, ...]

    def loggers(self, run: str) -> list[Logger]:
        """Return the loggers of a run. Raises ParamsError for one whose package is missing."""
        return [self._logger(name, run) for name in self.names]

    def _logger(self, name: LoggerName, run: str) -> Logger:
        title = f"{self.folder.name}-{run}"
        if name == "csv":  # a run that resumes gets a new version, and so a new file
            return CSVLogger(self.folder, name=run, flush_logs_every_n_steps=1)
        known: dict[str, tuple[str, str, dict[str, Any]]] = {
            "tensorboard": (
                "lightning.pytorch.loggers",
                "TensorBoardLogger",
                {"save_dir": self.folder, "name": run, "version": name},
            ),
            "dvclive": (
                "dvclive.lightning",
                "DVCLiveLogger",
                {
                    "dir": self.folder / run / name,
                    "resume": True,
                    "save_dvc_exp": False,
                    "dvcyaml": None,
                },
            ),
            "mlflow": (
                "lightning.pytorch.loggers",
                "MLFlowLogger",
                {
                    "experiment_name": PROJECT,
                    "run_name": title,
                    # A database: MLflow 3 refuses to log to plain files.
                    "tracking_uri": os.environ.get("MLFLOW_TRACKING_URI")
                    or f"sqlite:///{self.folder.parent.absolute() / 'mlflow.db'}",
                },
            ),
            "wandb": (
                "lightning.pytorch.loggers",
                "WandbLogger",
                {"project": PROJECT, "name": title, "save_dir": self.folder / run},
            ),
        }
        module, kind, options = known[name]
        try:
            logger: Logger = getattr(import_module(module), kind)(**options)
        except ModuleNotFoundError:  # Lightning's text has many lines and no more facts
            raise ParamsError(
                f"loggers: {name}: its package is not installed; "
                f"allowed: pip install {name}, or loggers without it"
            ) from None
        return logger


class StepLog(pl.Callback):
    """Logs every tenth step: loss, rate, gradient, speed, time spent on waiting, and memory."""

    def __init__(self) -> None:
        self._gradient_norm = 0.0
        self._waited = 0.0
        self._clips = 0
        self._began = self._stepped = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, classifier: pl.LightningModule) -> None:
        """Leave validation out of the times."""
        self._restart()

    def on_train_batch_start(
        self, trainer: pl.Trainer, classifier: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Add the time since the step before, in which the clips were read."""
        self._waited += time.perf_counter() - self._stepped

    def on_before_optimizer_step(
        self,
        trainer: pl.Trainer,
        classifier: pl.LightningModule,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Measure the gradient, before it is clipped."""
        if _is_logged(trainer.global_step + 1):
            gradients = [p.grad for p in classifier.parameters() if p.grad is not None]
            self._gradient_norm = get_total_norm(gradients).item()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        classifier: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Log the step, if it is one of those that are logged."""
        assert isinstance(classifier, TrainingModule)
        order = classifier.orders.train
        self._clips += order.sizes(batch_idx)[0] * order.ranks
        self._stepped = time.perf_counter()
        if order.ends_step(batch_idx) and _is_logged(trainer.global_step):
            self._log(trainer, float(outputs["loss"]))

    def _log(self, trainer: pl.Trainer, loss: float) -> None:
        seconds = time.perf_counter() - self._began
        device = trainer.strategy.root_device
        logged = {
            "loss": loss,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "gradient_norm": self._gradient_norm,
            "clips_per_second": self._clips / seconds,
            "share_waiting_for_clips": self._waited / seconds,
            "memory_gb": _memory(device) / 1e9,
        }
        for logger in trainer.loggers:
            logger.log_metrics(logged, step=trainer.global_step)
        self._restart()

    def _restart(self) -> None:
        self._waited, self._clips = 0.0, 0
        self._began = self._stepped = time.perf_counter()


def _is_logged(step: int) -> bool:
    return step % STEPS_BETWEEN_LOGS == 0


def _memory(device: torch.device) -> int:
    """Return the most bytes that tensors took on a GPU; on a CPU, what the process takes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    rss: int = psutil.Process().memory_info().rss
    return rss
