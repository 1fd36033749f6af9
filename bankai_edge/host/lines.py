"""Bytes through file descriptors, with timeouts. Both ends of the link use it."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable

from bankai_edge.errors import DeviceTimeoutError, NoDeviceError

WRITE_TIMEOUT_S = 5.0


class ByteLine:
    """Bytes through file descriptors, with timeouts. Both ends of the link use it.

    `close` is called once, by `close()`.
    """

    def __init__(
        self, label: str, read_fd: int, write_fd: int, close: Callable[[], object]
    ) -> None:
        self.label = label
        self.sent_bytes = 0
        self.received_bytes = 0
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._close = close

    def fileno(self) -> int:
        """The descriptor to wait on for bytes."""
        return self._read_fd

    def read(self, timeout_s: float) -> bytes:
        """Return what came within `timeout_s`, or b""; raises NoDeviceError when the line ended."""
        poll = select.poll()
        poll.register(self._read_fd, select.POLLIN)
        try:
            if not poll.poll(max(0, round(timeout_s * 1000))):
                return b""
            data = os.read(self._read_fd, 65536)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            raise self._gone(None)
        self.received_bytes += len(data)
        return data

    def write(self, data: bytes, timeout_s: float = WRITE_TIMEOUT_S) -> None:
        """Write all of `data`; raises NoDeviceError (line gone), DeviceTimeoutError (stuck)."""
        deadline = time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(self._write_fd, select.POLLOUT)
        view = memoryview(data)
        while view:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise DeviceTimeoutError(
                    f"{self.label} takes no bytes: {len(view)} of {len(data)} are still unsent",
                    next_step="Is the other end running?",
                )
            try:
                if poll.poll(round(left_s * 1000)):
                    written = os.write(self._write_fd, view)
                    self.sent_bytes += written
                    view = view[written:]
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._gone(error) from error

    def close(self) -> None:
        """Close the descriptors."""
        self._close()

    def _gone(self, error: OSError | None) -> NoDeviceError:
        why = f": {error.strerror}" if error is not None and error.errno != errno.EIO else ""
        return NoDeviceError(
            f"{self.label} went away{why}",
            next_step="Check the cable and that the device is up, then run the command again.",
        )


def socket_line(label: str, connection: socket.socket) -> ByteLine:
    """A ByteLine over a connected stream socket, which it then owns."""
    connection.setblocking(False)
    return ByteLine(label, connection.fileno(), connection.fileno(), connection.close)
