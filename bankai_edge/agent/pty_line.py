"""A serial cable in software: two ptys and a thread that carries the bytes between them.

The demo and the tests put a real agent process on one end and a real command on the other.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import tty

FULL_S = 0.5  # bytes are lost, as on a real line, when nobody reads for this long


class PtyCable:
    """Two pty paths joined by a pump, which counts the bytes.

    `agent_path` and `host_path` are what `--serial` and `--device` take.
    """

    def __init__(self) -> None:
        self._agent_master, self._agent_slave = os.openpty()
        self._host_master, self._host_slave = os.openpty()
        self.agent_path = os.ttyname(self._agent_slave)
        self.host_path = os.ttyname(self._host_slave)
        # Both slaves stay open here, so that a program's closing one end does not hang the line
        # up; raw from the start, so that nothing is echoed before the programs have set theirs.
        for descriptor in (self._agent_slave, self._host_slave):
            tty.setraw(descriptor)
        for descriptor in (self._agent_master, self._host_master):
            os.set_blocking(descriptor, False)
        self.to_agent_bytes = 0
        self.to_host_bytes = 0
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._pump, name="pty-cable", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the pump and hang up both ends."""
        self._stop()
        self._hang_up(self._host_slave, self._host_master, self._agent_slave, self._agent_master)

    def __enter__(self) -> PtyCable:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stop(self) -> None:
        if self._thread.is_alive():
            os.write(self._wake_write, b"x")
            self._thread.join()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _pump(self) -> None:
        ends = [self._agent_master, self._host_master, self._wake_read]
        while True:
            ready, _, _ = select.select(ends, [], [])
            if self._wake_read in ready:
                return
            for source in ready:
                self._carry(source, os.read(source, 4096))

    def _carry(self, source: int, data: bytes) -> None:
        if source == self._host_master:
            self.to_agent_bytes += len(data)
            target = self._agent_master
        else:
            self.to_host_bytes += len(data)
            target = self._host_master
        while data and select.select([], [target], [], FULL_S)[1]:
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(target, data) :]

    @staticmethod
    def _hang_up(*descriptors: int) -> None:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
