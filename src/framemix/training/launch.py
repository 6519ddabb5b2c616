"""How the processes that train together are started, where Lightning would not detect it."""

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
    """Return the environment that starts the processes, where Lightning would guess wrong."""
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    if int(os.environ["SLURM_NTASKS"]) != processes:  # not srun, but a job around `dvc`
        return [LightningEnvironment()]
    # Lightning's requeueing would save where the next run does not look.
    return [SLURMEnvironment(auto_requeue=False)]


class InterruptibleDDP(DDPStrategy):
    """DDP in which a signal ends a process that waits for the others to start."""

    def setup_environment(self) -> None:
        """Wait for the others; SIGTERM and Ctrl-C end that."""
        # Processes that this one has started come soon, and it must stay able to end them.
        external = (
            self.cluster_environment and self.cluster_environment.creates_processes_externally
        )
        with ended_by_signals() if external else nullcontext():
            super().setup_environment()


def check_launched(strategy: Strategy, *, num_nodes: int, processes: int) -> None:
    """Raise ParamsError where nothing starts the processes of other nodes.

    This process would wait for them for ever.
    """
    if num_nodes == 1 or "MASTER_ADDR" in os.environ:
        return
    assert isinstance(strategy, DDPStrategy)
    if isinstance(strategy.cluster_environment, LightningEnvironment):
        raise ParamsError(
            f"runtime.num_nodes = {num_nodes}: but neither torchrun nor an srun of "
            f"{processes} tasks started this; allowed: start the stage as docs/gpus.md shows"
        )
