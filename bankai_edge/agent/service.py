"""The agent process: one device, its listeners, and a clean end."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

from bankai_edge.agent.device import AgentDevice
from bankai_edge.agent.limits import PROBE_BUDGET_S, Policy, Quota
from bankai_edge.agent.listeners import (
    Listener,
    SerialListener,
    StdioListener,
)
from bankai_edge.agent.network import TcpListener, UdpListener, UnixListener
from bankai_edge.agent.seed import Seeding
from bankai_edge.agent.store import Store
from bankai_edge.errors import BankaiError, UsageError
from bankai_edge.host.address import is_loopback, local_socket_path
from bankai_edge.patch.keys import TrustStore

if TYPE_CHECKING:
    from bankai_edge.agent.announce import Announcement


@dataclass(frozen=True)
class AgentConfig:
    """What `bankai-edge agent` was asked for. Without any listener: the default unix socket."""

    model: Path
    store: Path
    serial: tuple[str, ...] = ()
    baud: int = 115200
    udp: tuple[tuple[str, int], ...] = ()
    tcp: tuple[tuple[str, int], ...] = ()
    unix: tuple[Path, ...] = ()
    stdio: bool = False
    ctx: int | None = None
    mode: Literal["overlay", "in-place"] = "overlay"
    allow_unbound: bool = False
    policy: Policy = "open"  # what signatures patches need
    trust: Path | None = None  # the directory of trusted keys; None: STORE/keys
    quota: Quota = field(default_factory=Quota)
    probe_budget_s: float = PROBE_BUDGET_S
    insecure: bool = False  # let anyone on the network in, whatever the policy
    seed: Path | None = None  # a folder of patches and keys to take into the store, once
    announce: bool | None = None  # by mDNS; None: when a network beyond this machine is served


class _End:
    """Why and when the process ends: set by signals, by stdin's end, by a reset."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.restart = False

    def stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """End cleanly. (Also a signal handler.)"""
        self._event.set()

    def reset(self) -> None:
        """End, and start again in the same process, once the answer has had time to leave."""
        self.restart = True
        threading.Timer(0.2, self._event.set).start()

    def wait(self) -> None:
        """Sleep until one of these happened."""
        self._event.wait()


def run_agent(config: AgentConfig, log: Callable[[str], None]) -> None:
    """Serve until SIGTERM, SIGINT or, with stdio alone, the end of stdin.

    `log` gets one sentence at a time for the operator; the last one before serving starts with
    "ready". Raises BankaiError when the model, the store or a listener cannot be opened.
    """
    check_exposure(config)
    # The engine comes in only here: the options above must be answerable without it.
    from bankai_edge.model import Model, Session

    end = _End()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end.stop)
    trust = TrustStore(config.trust or config.store / "keys")
    store = Store(config.store, quota=config.quota, note=log)
    seeding = Seeding(config.seed, config.store, log) if config.seed else None
    if seeding:
        seeding.keys(trust)
    model = Model(config.model, writable=config.mode == "in-place")
    session = Session(model, ctx=config.ctx, mode=config.mode)
    device = AgentDevice(
        session,
        store,
        log=log,
        on_reset=end.reset,
        allow_unbound=config.allow_unbound,
        policy=config.policy,
        trust=trust.directory,
        probe_budget_s=config.probe_budget_s,
    )
    if seeding:
        seeding.patches(lambda: store.journal, device)
    listeners = _open_listeners(config, device, log)
    log(f"{model.name} ({model.id.hex()[:16]}), store {config.store}")
    if config.policy != "open":
        trusted = ", ".join(trust.trusted()) or "nobody yet: bankai-edge keys trust"
        log(f"signatures: {config.policy}; trusted in {trust.directory}: {trusted}")
    for listener in listeners:
        stop = end.stop if listener.label == StdioListener.label and len(listeners) == 1 else None
        threading.Thread(
            target=_serve, args=(listener, stop), name=listener.label, daemon=True
        ).start()
    announcement = _announce(config, listeners, model.name, log)
    log("ready on " + ", ".join(listener.label for listener in listeners))
    end.wait()
    if announcement is not None:
        announcement.close()
    device.close()
    for listener in listeners:
        listener.close()
    log("stopped")
    if end.restart:
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def check_exposure(config: AgentConfig) -> None:
    """Raise UsageError when anyone on the network could change the patches, and that unasked."""
    if config.insecure or config.policy == "require":
        return
    for scheme, places in (("udp", config.udp), ("tcp", config.tcp)):
        for host, port in places:
            if not is_loopback(host):
                raise UsageError(
                    f"anyone who reaches {scheme}://{host}:{port} could change the patches",
                    next_step="Take only signed ones with --require-signed, keep to this machine "
                    f"with --{scheme} 127.0.0.1:{port}, or say --insecure.",
                )


def _announce(
    config: AgentConfig, listeners: Sequence[Listener], model: str, log: Callable[[str], None]
) -> Announcement | None:
    """Announce what networks can reach, where that is wanted and possible."""
    places = [
        (scheme, host, listener.port)
        for listener in listeners
        if isinstance(listener, (UdpListener, TcpListener))
        for scheme, host in [(listener.scheme, listener.host)]
    ]
    beyond = [place for place in places if not is_loopback(place[1])]
    if config.announce is False or (config.announce is None and not beyond):
        return None
    if not places:
        raise UsageError("--announce: nothing to announce", expected="--udp or --tcp beside it")
    try:
        from bankai_edge.agent.announce import Announcement

        return Announcement(places, model)
    except (ImportError, OSError) as error:
        if config.announce:
            raise BankaiError(
                f"--announce: {error}", next_step="pip install 'bankai-edge[mdns]'"
            ) from error
        log(f"not announced on the network ({error}); others need this machine's name")
        return None


def _serve(listener: Listener, at_end: Callable[[], None] | None) -> None:
    listener.serve()
    if at_end is not None:
        at_end()


def _open_listeners(
    config: AgentConfig, device: AgentDevice, log: Callable[[str], None]
) -> Sequence[Listener]:
    opened: list[Listener] = []
    try:
        for path in config.serial:
            opened.append(SerialListener(path, config.baud, device, log))
        for host, port in config.udp:
            opened.append(UdpListener(host, port, device))
        for host, port in config.tcp:
            opened.append(TcpListener(host, port, device))
        for socket_path in config.unix:
            opened.append(UnixListener(socket_path, device))
        if config.stdio:
            opened.append(StdioListener(device))
        if not opened:
            opened.append(UnixListener(local_socket_path(), device))
    except BankaiError:
        for listener in opened:
            listener.close()
        raise
    return opened
