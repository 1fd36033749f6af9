"""Crews beyond this process (see judge/crew.py): processes, or the workers of a Dask cluster."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bankai_edge.errors import BankaiError, IncompatibleError
from bankai_edge.judge.reading import Raw, Shard
from bankai_edge.model import Model
from bankai_edge.probes.packs import Probe


class Worker:
    """What a process or a Dask worker holds: the model, opened there, and its shards."""

    def __init__(self, path: str, model_id: bytes) -> None:
        """Raises IncompatibleError where `path` is another model."""
        self._model = Model(Path(path), threads=1)
        if self._model.id != model_id:
            raise IncompatibleError(
                f"a worker finds another model at {path}", expected="the same file on every machine"
            )
        self._shards: list[Shard] = []

    def add(self, probes: Sequence[Probe], tap_bytes: int) -> int:
        """Hold one more shard; its number."""
        self._shards.append(Shard(self._model, probes, tap_bytes))
        return len(self._shards) - 1

    def ask(self, reading: int, method: str, arguments: tuple[Any, ...]) -> Raw | None:
        """Call a method of a shard."""
        found: Raw | None = getattr(self._shards[reading], method)(*arguments)
        return found


def _serve(pipe: Connection, path: str, model_id: bytes) -> None:
    """A worker process: answers until the pipe closes. Ctrl-C is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker: Worker | None = None
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            return
        try:
            worker = worker or Worker(path, model_id)
            pipe.send((True, getattr(worker, method)(*arguments)))
        except Exception as error:  # the parent raises it
            pipe.send((False, f"{type(error).__name__}: {error}"))


class Processes:
    """Worker processes of this machine, one shard each."""

    def __init__(self, model: Model, processes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.size = processes
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(theirs, str(model.path.resolve()), model.id), daemon=True
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def add(self, shards: Sequence[Sequence[Probe]], tap_bytes: int) -> int:
        """See `Crew.add`."""
        return int(self._all("add", [(part, tap_bytes) for part in shards])[0])

    def ask(self, reading: int, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """See `Crew.ask`."""
        return self._all("ask", [(reading, method, a) for a in arguments])

    def _all(self, method: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        try:
            for pipe, call in zip(self._pipes, calls, strict=True):
                pipe.send((method, call))
            answers = [pipe.recv() for pipe in self._pipes]
        except (EOFError, OSError) as error:
            raise BankaiError("a search worker died", next_step="Go on with --resume") from error
        for done, answer in answers:
            if not done:
                raise BankaiError(f"a search worker failed: {answer}")
        return [answer for _, answer in answers]

    def close(self) -> None:
        """See `Crew.close`."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=5)
            if process.is_alive():
                process.terminate()


class Dask:
    """Workers of a Dask cluster, one shard each; the model lies at the same path everywhere."""

    def __init__(self, model: Model, address: Any) -> None:
        """`address`: ``tcp://host:port`` of a scheduler, or a cluster object of this process.

        Raises:
            BankaiError: Dask is not installed, or nobody answers there.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise BankaiError(
                "--scheduler needs Dask, which is not installed",
                next_step="Install bankai-edge[cluster]",
            ) from error
        try:
            self._client = Client(address, timeout=10)
        except OSError as error:
            raise BankaiError(f"no Dask scheduler answers at {address}") from error
        names = sorted(self._client.scheduler_info(n_workers=-1)["workers"])
        if not names:
            raise BankaiError(f"the Dask scheduler at {address} has no workers")
        self.size = len(names)
        path = str(model.path.resolve())
        futures = [
            self._client.submit(Worker, path, model.id, actor=True, workers=[name], pure=False)
            for name in names
        ]
        self._actors = [future.result() for future in futures]

    def add(self, shards: Sequence[Sequence[Probe]], tap_bytes: int) -> int:
        """See `Crew.add`."""
        asked = [a.add(list(s), tap_bytes) for a, s in zip(self._actors, shards, strict=True)]
        return [int(future.result()) for future in asked].pop()

    def ask(self, reading: int, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """See `Crew.ask`."""
        asked = [
            actor.ask(reading, method, a) for actor, a in zip(self._actors, arguments, strict=True)
        ]
        return [future.result() for future in asked]

    def close(self) -> None:
        """See `Crew.close`."""
        self._actors.clear()
        self._client.close()
