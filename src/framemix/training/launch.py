"""Who starts the processes that train together, and where that must be told to Lightning."""

import os
from contextlib import nullcontext

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy, Strategy

from framemix.errors import ParamsError
from framemix.training.interrupt import ended_by_signals


def cluster_environment(processes: int) -> list[ClusterEnvironment]:
    """Return who starts the processes, where Lightning would not find it out rightly."""
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    if int(os.environ["SLURM_NTASKS"]) != processes:  # not srun, but a job around `dvc`
        return [LightningEnvironment()]
    # Its own requeueing would save elsewhere than where the next run looks.
    return [SLURMEnvironment(auto_requeue=False)]


class InterruptibleDDP(DDPStrategy):
    """DDP in which a signal ends a process that waits for the others to start."""

    def setup_environment(self) -> None:
        """Wait for the others; SIGTERM and Ctrl-C end that."""
        # Processes that this one starts come soon, and it must be asked to end them.
        external = (
            self.cluster_environment and self.cluster_environment.creates_processes_externally
        )
        with ended_by_signals() if external else nullcontext():
            super().setup_environment()


def check_launched(strategy: Strategy, *, num_nodes: int, processes: int) -> None:
    """Raise ParamsError where nothing says who starts the other nodes' processes, and where.

    The wait for them would not end.
    """
    if num_nodes == 1 or "MASTER_ADDR" in os.environ:
        return
    assert isinstance(strategy, DDPStrategy)
    if isinstance(strategy.cluster_environment, LightningEnvironment):
        raise ParamsError(
            f"runtime.num_nodes = {num_nodes}: but neither torchrun nor an srun of "
            f"{processes} tasks started this; allowed: start the stage as docs/gpus.md says"
        )
