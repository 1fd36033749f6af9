"""Which device is meant when none is named, and which devices are there at all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from bankai_edge.boards import board_of_usb
from bankai_edge.errors import BankaiError, DeviceTimeoutError, NoDeviceError
from bankai_edge.host import mdns
from bankai_edge.host.address import Address, local_socket_candidates, parse_address
from bankai_edge.host.client import DEFAULT_TIMEOUT_S, TRIES, Client
from bankai_edge.host.serial_port import serial_ports
from bankai_edge.host.transports import Transport, open_transport

PROBE_TIMEOUT_S = 0.3


@dataclass(frozen=True)
class Found:
    """A place where a device may be: its `info` when it answered, else why not and what to do."""

    address: Address
    about: str
    info: dict[str, Any] | None
    problem: str = ""
    remedy: str = ""


def connect(
    device: str | None, *, timeout_s: float = DEFAULT_TIMEOUT_S, tries: int = TRIES
) -> Client:
    """Open the device named, or by BANKAI_DEVICE, or the one that answers.

    The local agent is preferred; else exactly one answering serial port is taken. Raises
    NoDeviceError that says what was seen instead.
    """
    named = device or os.environ.get("BANKAI_DEVICE")
    if named:
        return Client(open_transport(parse_address(named)), timeout_s=timeout_s, tries=tries)
    for path in local_socket_candidates():
        try:
            transport = open_transport(Address("unix", str(path)))
        except NoDeviceError:
            continue  # a socket that a dead agent left
        return Client(transport, timeout_s=timeout_s, tries=tries)
    found = [_probe_serial(port) for port in serial_ports()]
    answering = [place for place in found if place.info is not None]
    if len(answering) == 1:
        return Client(open_transport(answering[0].address), timeout_s=timeout_s, tries=tries)
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
    """Every place seen from here: local agents, serial ports, what announces itself by mDNS."""
    found = []
    for path in local_socket_candidates():
        found.append(_probe(Address("unix", str(path)), "local agent"))
    found += [_probe_serial(port) for port in serial_ports()]
    if mdns.available():
        found += [_probe(address, f"announces itself as {name}") for address, name in mdns.browse()]
    return found


def _probe_serial(port: Any) -> Found:
    about = port.description if port.description != "n/a" else ""
    if port.vid is not None:
        board = board_of_usb(port.vid, port.pid)
        number = f" serial:usb:{port.serial_number}" if port.serial_number else ""
        what = board.name if board else about or "unknown USB device"
        about = f"{what}, USB {port.vid:04x}:{port.pid:04x}{number}"
    return _probe(Address("serial", port.device), about)


def _probe(address: Address, about: str) -> Found:
    try:
        with Client(open_transport(address), timeout_s=PROBE_TIMEOUT_S, tries=2) as client:
            try:
                return Found(address, about, client.info())
            except DeviceTimeoutError:
                return Found(address, about, None, *_silence(address, client.transport))
    except BankaiError as error:
        return Found(address, about, None, error.found, error.next_step)


def _silence(address: Address, transport: Transport) -> tuple[str, str]:
    """Why nothing answered, as far as the bytes tell, and what to do."""
    if address.kind != "serial":
        return "no answer", "Is the agent there running, and may this machine reach it?"
    speed = f"serial:{address.place}@BAUD"
    if transport.received_bytes:
        return (
            f"bytes come at {address.baud} baud, but no answer among them",
            f"Another speed, or another program's device: try --device {speed}.",
        )
    return (
        f"no answer at {address.baud} baud",
        f"Is an agent or firmware running there? At another speed: --device {speed}.",
    )
