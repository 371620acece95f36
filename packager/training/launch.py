"""Train with several processes: torchrun's own launcher, called from Python.

`together` runs a function once for each device of this machine, and passes its first process's
progress on. On several hosts, start the same build on each, with torchrun's own variables:
PET_NNODES and PET_RDZV_ENDPOINT=HOST:PORT. Fails with the `PackagerError` of the process that had
one, else with `StageCrash`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch
from torch import distributed
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from packager.errors import Interrupted, PackagerError, StageCrash, explain
from packager.process import child, progress
from packager.training.parallel import World

T = TypeVar("T")


def together(function: Callable[..., T], devices: int, *args: Any) -> T:
    """`function(*args, world)` in `devices` processes; returns what the first of them did."""
    hosts = int(os.environ.get("PET_NNODES", "1"))
    settings = LaunchConfig(
        min_nodes=hosts,
        max_nodes=hosts,
        nproc_per_node=devices,
        run_id=os.environ.get("PET_RDZV_ID", "packager"),
        rdzv_backend="c10d",
        rdzv_endpoint=os.environ.get("PET_RDZV_ENDPOINT", "localhost:0"),
        max_restarts=0,
        monitor_interval=0.2,
        start_method="spawn",
    )
    receiver, sender = Pipe(duplex=False)
    failures: list[PackagerError] = []
    listener = threading.Thread(target=_listen, args=(receiver, failures), daemon=True)
    listener.start()
    try:
        values = elastic_launch(settings, _process)(function, args, sender)
    except (ChildFailedError, SignalException) as error:
        sender.close()
        listener.join()
        if failures:
            raise failures[0] from error
        if isinstance(error, SignalException):
            raise Interrupted("Stopped.", "run the same command again to resume") from error
        raise StageCrash(f"A training process died:\n{error}", "see build.log") from error
    sender.close()
    listener.join()
    value: T = values[min(values)]
    return value


def _listen(receiver: Connection, failures: list[PackagerError]) -> None:
    with receiver:
        while True:
            try:
                message = receiver.recv()
            except EOFError:
                return
            if isinstance(message, PackagerError):
                failures.append(message)
            else:
                progress.forward(message)


def _process(function: Callable[..., T], args: tuple[Any, ...], sender: Connection) -> T:
    """One process's side: its device, its place among all, its errors told."""
    child.die_with_parent()
    local = int(os.environ["LOCAL_RANK"])
    if torch.cuda.is_available():
        torch.cuda.set_device(local)
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // int(os.environ["LOCAL_WORLD_SIZE"])))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    world = World(distributed.get_rank(), distributed.get_world_size(), writes=local == 0)
    try:
        with progress.route(sender.send if local == 0 else lambda event: None):
            return function(*args, world)
    except Exception as error:
        explained = explain(error)
        if explained is not None:
            sender.send(explained)
        raise
    finally:
        distributed.destroy_process_group()
