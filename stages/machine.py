"""The hardware that a stage trains on, from params.yaml's `runtime`; it decides no output."""

from framemix.devices import resolve_device
from framemix.project.params import RuntimeSettings
from framemix.training.logs import Logs
from framemix.training.run import Machine


def machine_for(stage: str, runtime: RuntimeSettings) -> Machine:
    return Machine(
        device=resolve_device(runtime.device),
        devices=runtime.devices,
        num_nodes=runtime.num_nodes,
        workers=runtime.workers,
        resident=runtime.resident,
        scratch=runtime.scratch_of(stage),
        logs=Logs(runtime.logs_of(stage), runtime.loggers),
    )
