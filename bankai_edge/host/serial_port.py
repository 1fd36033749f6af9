"""Serial ports: opened exclusively, found again by USB serial number, and why they do not open."""

from __future__ import annotations

import contextlib
import errno
import stat
from pathlib import Path
from typing import Any

from bankai_edge.errors import BankaiError, NoDeviceError
from bankai_edge.host.address import USB
from bankai_edge.host.lines import ByteLine


class SerialPlace:
    """Where a serial device is, even after it re-enumerated under another path.

    `place` is a path, or `usb:` and the USB serial number. A port opened by its path is followed
    by the serial number that it had then.
    """

    def __init__(self, place: str, baud: int) -> None:
        self.place = place
        self.baud = baud
        self.comes_back = place.startswith(USB)
        self._usb_serial = place.removeprefix(USB) if self.comes_back else ""

    def open(self) -> ByteLine:
        """Open the port where it is now; raises NoDeviceError that says why not."""
        if self._usb_serial:
            path = self._find()
        else:
            path = self.place
        line = open_serial(path, self.baud)
        if not self._usb_serial:
            self._learn(path)
        return line

    def _find(self) -> str:
        """The path of the port with our USB serial number."""
        ports = serial_ports()
        for port in ports:
            if port.serial_number == self._usb_serial:
                return str(port.device)
        if not self.place.startswith(USB) and Path(self.place).exists():
            return self.place
        have = ", ".join(f"{p.serial_number} at {p.device}" for p in ports if p.serial_number)
        raise NoDeviceError(
            f"no serial port has the USB serial number {self._usb_serial}; seen: {have or 'none'}",
            next_step="Plug the device in, or name another with --device.",
        )

    def _learn(self, path: str) -> None:
        """Remember which USB device this path is, to find it under another."""
        with contextlib.suppress(OSError):
            real = Path(path).resolve()
            for port in serial_ports():
                if Path(port.device).resolve() == real:
                    self.comes_back = True
                    self._usb_serial = port.serial_number or ""


def open_serial(path: str, baud: int) -> ByteLine:
    """Open a serial port or pty: exclusively, raw, 8N1, no flow control, input flushed.

    Raises NoDeviceError that says why: absent, not a port, busy, not permitted.
    """
    # Imported here: a command that talks to a socket has no use for it.
    import serial

    try:
        if not stat.S_ISCHR(Path(path).stat().st_mode):
            raise NoDeviceError(f"{path} is not a serial port", expected="a character device")
        port = serial.Serial(path, baud, exclusive=True, timeout=0, write_timeout=0)
        port.reset_input_buffer()
    except FileNotFoundError as error:
        raise _absent(path) from error
    except (OSError, ValueError) as error:  # SerialException is an OSError
        raise _serial_error(path, baud, error) from error
    return ByteLine(path, port.fileno(), port.fileno(), port.close)


def serial_ports() -> list[Any]:
    """The serial ports that look like a device's: pyserial's ListPortInfo, sorted by path.

    Ports without hardware behind them (the PC's ttyS* phantoms) are left out.
    """
    from serial.tools import list_ports

    return sorted((p for p in list_ports.comports() if p.hwid != "n/a"), key=lambda p: p.device)


def _absent(path: str) -> NoDeviceError:
    seen = ", ".join(port.device for port in serial_ports()) or "none"
    return NoDeviceError(
        f"there is no {path}; serial ports seen: {seen}",
        next_step="Plug the device in, or name another with --device.",
    )


def _serial_error(path: str, baud: int, error: Exception) -> BankaiError:
    # pyserial keeps the errno in `errno`, or only in the text when its own flock failed.
    number = getattr(error, "errno", None)
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in str(error):
        return NoDeviceError(
            f"{path} is busy: another program has it open",
            next_step="Close that program (a serial monitor?), then try again.",
        )
    if number in (errno.EACCES, errno.EPERM):
        return NoDeviceError(f"{path} may not be opened by this user", next_step=_join(path))
    if number == errno.ENOENT:
        return _absent(path)
    return NoDeviceError(
        f"{path} cannot be opened at {baud} baud: {error}",
        next_step="Check that it is a serial port and takes that speed.",
    )


def _join(path: str) -> str:
    """How to be allowed: the group that owns the port, when a group may use it."""
    with contextlib.suppress(OSError, KeyError):
        status = Path(path).stat()
        if status.st_mode & stat.S_IRGRP and status.st_mode & stat.S_IWGRP:
            group = Path(path).group()
            return f"Join the group {group}: sudo usermod -aG {group} $USER, then log in again."
    return "Only its owner may: give a group access with a udev rule, or use sudo."
