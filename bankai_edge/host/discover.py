"""Which device is meant when none is named, and which devices are there at all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from bankai_edge.errors import BankaiError, NoDeviceError
from bankai_edge.host.address import Address, local_socket_candidates, parse_address
from bankai_edge.host.client import DEFAULT_TIMEOUT_S, Client
from bankai_edge.host.serial_port import serial_ports
from bankai_edge.host.transports import open_transport

PROBE_TIMEOUT_S = 0.3


@dataclass(frozen=True)
class Found:
    """A place where a device may be: its `info` when it answered, else why it did not."""

    address: Address
    about: str
    info: dict[str, Any] | None
    problem: str = ""


def connect(device: str | None, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Client:
    """Open the device named, or by BANKAI_DEVICE, or the one that answers.

    The local agent is preferred; else exactly one answering serial port is taken. Raises
    NoDeviceError that says what was seen instead.
    """
    named = device or os.environ.get("BANKAI_DEVICE")
    if named:
        return Client(open_transport(parse_address(named)), timeout_s=timeout_s)
    for path in local_socket_candidates():
        try:
            transport = open_transport(Address("unix", str(path)))
        except NoDeviceError:
            continue  # a socket that a dead agent left
        return Client(transport, timeout_s=timeout_s)
    found = [_probe_serial(port) for port in serial_ports()]
    answering = [place for place in found if place.info is not None]
    if len(answering) == 1:
        return Client(open_transport(answering[0].address), timeout_s=timeout_s)
    if answering:
        names = ", ".join(str(place.address) for place in answering)
        raise NoDeviceError(
            f"{len(answering)} devices answer: {names}", next_step="Choose one with --device."
        )
    seen = "; ".join(f"{place.address}: {place.problem}" for place in found)
    raise NoDeviceError(
        "no device: no local agent answers, and "
        + (f"these serial ports do not either: {seen}" if seen else "there is no serial port"),
        next_step="Start `bankai-edge agent` here, plug a device in, or name one with --device.",
    )


def discover() -> list[Found]:
    """Every place seen from here: local agents, then serial ports."""
    found = []
    for path in local_socket_candidates():
        found.append(_probe(Address("unix", str(path)), "local agent"))
    return found + [_probe_serial(port) for port in serial_ports()]


def _probe_serial(port: Any) -> Found:
    usb = f"{port.vid:04x}:{port.pid:04x} " if port.vid is not None else ""
    about = f"{usb}{port.description or ''}".strip()
    return _probe(Address("serial", port.device), about)


def _probe(address: Address, about: str) -> Found:
    try:
        with Client(open_transport(address), timeout_s=PROBE_TIMEOUT_S, tries=2) as client:
            return Found(address, about, client.info())
    except BankaiError as error:
        return Found(address, about, None, error.found)
