"""Stdin and stdout joined to the agent that runs on this machine: what ssh:// starts here."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

from bankai_edge.errors import BankaiError, NoDeviceError
from bankai_edge.host.address import local_socket_candidates
from bankai_edge.host.lines import ByteLine
from bankai_edge.host.ssh import HELLO
from bankai_edge.host.transports import open_unix


def attach(socket: Path | None) -> None:
    """Carry bytes both ways until either side ends; raises NoDeviceError without an agent."""
    agent = _open(socket)
    stdio = ByteLine("stdio", sys.stdin.fileno(), sys.stdout.fileno(), lambda: None)
    try:
        stdio.write(HELLO + agent.label.encode() + b"\n")
        while True:
            ready, _, _ = select.select([sys.stdin.fileno(), agent.fileno()], [], [])
            if sys.stdin.fileno() in ready:
                agent.write(stdio.read(0))
            if agent.fileno() in ready:
                stdio.write(agent.read(0))
    except BankaiError:
        return  # one of them hung up
    finally:
        agent.close()
        # nothing of Python's own may be written behind the agent's bytes
        os.close(sys.stdout.fileno())


def _open(socket: Path | None) -> ByteLine:
    places = [socket] if socket is not None else local_socket_candidates()
    trouble: NoDeviceError | None = None
    for place in places:
        try:
            return open_unix(str(place))
        except NoDeviceError as error:
            trouble = error
    raise trouble or NoDeviceError(
        "no agent runs on this machine",
        next_step="Start one: bankai-edge agent --model MODEL --store DIR.",
    )
