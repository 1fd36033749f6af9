"""This machine as a device: the C device over the store's directory and the engine's session."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bankai_edge import __version__
from bankai_edge._device import REVOKED, STRANGER, TRUSTED, Device, Shell
from bankai_edge.agent.engine import EngineSession
from bankai_edge.agent.limits import PROBE_BUDGET_S, Policy
from bankai_edge.agent.store import Store
from bankai_edge.boards.conditions import conditions, fitting
from bankai_edge.patch import sign
from bankai_edge.patch.keys import TrustStore

if TYPE_CHECKING:
    from bankai_edge._device import Facts
    from bankai_edge.model import Session

POLL_S = 0.02


class Keys:
    """A directory of keys as the device's; `_device.TrustPort`."""

    def __init__(self, directory: Path, policy: Policy, log: Callable[[str], None]) -> None:
        """Raises BankaiError where signatures are required and cannot be verified."""
        self._trust = TrustStore(directory)
        try:
            sign.ed25519()
            self.can_verify = True
        except sign.NoCryptographyError as error:
            if policy == "require":
                raise
            if policy == "warn":
                log(f"warning: {error}")
            self.can_verify = False

    def verify(self, public_key: bytes, signature: bytes, signed: bytes) -> bool:
        """Whether a signature is its own key's over these bytes."""
        return sign.fits(public_key, signature, signed)

    def look_up(self, public_key: bytes) -> int:
        """Whose key that is, by the files that are there now."""
        if public_key in self._trust.revoked().values():
            return REVOKED
        return TRUSTED if public_key in self._trust.trusted().values() else STRANGER


class Machine:
    """What the device asks of the machine and its operator; `_device.HostPort`."""

    def __init__(
        self, kernel: str, log: Callable[[str], None], on_reset: Callable[[], None]
    ) -> None:
        self._kernel = kernel
        self.log = log
        self.reset = on_reset

    def facts(self) -> Facts:
        """Which board this is, and what slows it down just now."""
        here = conditions(kernel=self._kernel)
        warnings = {"warnings": fitting(here.warnings)} if here.warnings else {}
        return {"board": here.board or "linux", **warnings}

    def datetime(self) -> str:
        """The local time."""
        return time.strftime("%Y-%m-%dT%H:%M:%S")


class AgentDevice:
    """Answers packets and typed lines from any thread (`listeners.Answers`)."""

    def __init__(
        self,
        session: Session,
        store: Store,
        *,
        log: Callable[[str], None],
        on_reset: Callable[[], None],
        allow_unbound: bool = False,
        policy: Policy = "open",
        trust: Path | None = None,
        probe_budget_s: float = PROBE_BUDGET_S,
    ) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._engine = EngineSession(session, allow_unbound=allow_unbound, log=log)
        self._core = Device(
            store,
            self._engine,
            Machine(self._engine.kernel, log, on_reset),
            Keys(trust or store.root / "keys", policy, log),
            version=__version__,
            policy=policy,
            probe_budget_s=probe_budget_s,
        )
        self._core.restore()

    def packet(self, packet: bytes) -> bytes:
        """Answer one SMP packet; b"" is silence."""
        with self._lock:
            return self._core.packet(packet)

    def shell(self, line: str) -> Iterator[str]:
        """Answer one typed line, piece by piece."""
        with self._lock:
            shell = Shell(self._core)
            text: str | None = shell.answer(line.encode())
        while text is not None:
            if text:
                yield text
            else:
                time.sleep(POLL_S)
            with self._lock:
                text = shell.step()

    def push(self, name: str, data: bytes) -> None:
        """Store a file as an upload would be; raises `_device.DeviceError`."""
        with self._lock:
            self._core.push(name, data)

    def drop_upload(self) -> None:
        """Drop an upload whose line went away."""
        with self._lock:
            self._core.drop_upload()

    def use(self, names: Sequence[str]) -> None:
        """Make exactly this set active; raises `_device.DeviceError`."""
        with self._lock:
            self._core.use(list(dict.fromkeys(names)))

    def close(self) -> None:
        """Let a running change finish, then allow none any more."""
        self._lock.acquire()
        self._engine.close()
        self._store.close()
