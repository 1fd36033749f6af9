"""One prompt at a time: the order in which threads use the session, and the answer as it grows."""

from __future__ import annotations

import threading
import time

from bankai_edge._link import DeviceError


class Turns:
    """A lock that is given in the order of asking.

    With a plain lock the token loop, which asks again at once, would starve the commands.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = 0
        self._serving = 0

    def take(self) -> None:
        """Wait for a turn and keep it."""
        with self._changed:
            ticket = self._next
            self._next += 1
            self._changed.wait_for(lambda: self._serving == ticket)

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._serving += 1
            self._changed.notify_all()


class Answer:
    """The text of the last prompt's answer as it grows. Its own lock: reading never waits."""

    def __init__(self, done: bool = False) -> None:
        self._lock = threading.Lock()
        self._text = bytearray()
        self._start_ns = time.monotonic_ns()
        self._elapsed_us = 0
        self._tokens = 0
        self._done = done
        self._error: DeviceError | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self._done

    def add(self, piece: str) -> None:
        """Append the next piece."""
        with self._lock:
            self._text += piece.encode()
            self._tokens += 1
            self._elapsed_us = (time.monotonic_ns() - self._start_ns) // 1000

    def finish(self, error: DeviceError | None = None) -> None:
        """Nothing more comes; `error` is raised to whoever has read all there is."""
        with self._lock:
            self._error = error
            self._done = True

    def read(self, off: int) -> tuple[bytes, bool, int, int]:
        """(UTF-8 bytes from `off`, done, tokens so far, elapsed us)."""
        with self._lock:
            if self._error is not None and off >= len(self._text):
                raise self._error
            done = self._done and self._error is None
            return bytes(self._text[off:]), done, self._tokens, self._elapsed_us
