"""What `--device` may say, parsed: which transport, and where it leads."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bankai_edge.errors import UsageError

DEFAULT_BAUD = 115200
DEFAULT_UDP_PORT = 1337
USB = "usb:"


@dataclass(frozen=True)
class Address:
    """One device's address.

    `place` is a path (serial, unix), `usb:` and a USB serial number (serial), or a host name, for
    ssh with the user before it. `port` 0 is ssh's own choice. `path` is the agent's socket on the
    host that ssh reaches.
    """

    kind: str  # of SCHEMES
    place: str
    baud: int = DEFAULT_BAUD
    port: int = DEFAULT_UDP_PORT
    path: str = ""

    def __str__(self) -> str:
        if self.kind == "serial":
            plain = self.baud == DEFAULT_BAUD
            if plain and not self.place.startswith(USB):
                return self.place
            return f"serial:{self.place}" + ("" if plain else f"@{self.baud}")
        if self.kind == "unix":
            return f"unix:{self.place}"
        user, at, name = self.place.rpartition("@")
        host = f"{user}{at}[{name}]" if ":" in name else self.place
        port = f":{self.port}" if self.port else ""
        return f"{self.kind}://{host}{port}{self.path}"


def parse_address(text: str) -> Address:
    """Read a `--device` value; raises UsageError when it has none of the known forms."""
    kind, colon, rest = text.partition(":")
    if colon and kind in SCHEMES:
        return SCHEMES[kind].read(kind, rest)
    if text.startswith(("/", "./", "../", "~")):
        path = Path(text).expanduser()
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            return Address("unix", str(path))
        return Address("serial", str(path))
    raise UsageError(f"--device {text!r} is not an address", expected=forms())


def split_host_port(text: str, host_port: str, default: int = DEFAULT_UDP_PORT) -> tuple[str, int]:
    """Split `host[:port]` or `[v6][:port]`; `text` is what to name in an error."""
    if host_port.startswith("["):
        host, _, tail = host_port[1:].partition("]")
        port = tail.removeprefix(":")
    else:
        host, _, port = host_port.partition(":")
    if not port:
        return host, default
    if not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise UsageError(f"{text}: {port!r} is not a port number", expected="0 to 65535")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """True when only this machine reaches a listener bound to `host`."""
    from ipaddress import ip_address

    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_PASSIVE)
    except OSError:
        return False
    return all(ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)


# ---- what follows a kind and its colon -----------------------------------------------------------


def _required(kind: str, rest: str, place: str) -> str:
    if not place:
        raise UsageError(f"--device {kind}:{rest} names no place", expected=forms())
    return place


def _serial(kind: str, rest: str) -> Address:
    path, at, baud = rest.rpartition("@")
    if not at:
        return Address(kind, _required(kind, rest, rest))
    if not baud.isascii() or not baud.isdigit() or int(baud) == 0:
        raise UsageError(
            f"{kind}:{rest}: {baud!r} is not a baud rate", expected="serial:PATH@115200"
        )
    return Address(kind, _required(kind, rest, path), baud=int(baud))


def _path(kind: str, rest: str) -> Address:
    return Address(kind, _required(kind, rest, rest.removeprefix("//")))


def _host(kind: str, rest: str) -> Address:
    host, port = split_host_port(f"{kind}:{rest}", _behind_slashes(kind, rest))
    return Address(kind, _required(kind, rest, host), port=port)


def _login(kind: str, rest: str) -> Address:
    where, slash, path = _behind_slashes(kind, rest).partition("/")
    user, at, host_port = where.rpartition("@")
    host, port = split_host_port(f"{kind}:{rest}", host_port, 0)
    # ssh would take a leading dash for one of its options.
    if host.startswith("-") or user.startswith("-"):
        raise UsageError(
            f"{kind}:{rest}: a host or user does not begin with a dash", expected=forms()
        )
    return Address(kind, user + at + _required(kind, rest, host), port=port, path=slash + path)


def _behind_slashes(kind: str, rest: str) -> str:
    if not rest.startswith("//"):
        raise UsageError(f"--device {f'{kind}:{rest}'!r} is not an address", expected=forms())
    return rest[2:]


@dataclass(frozen=True)
class Scheme:
    """A transport: how people write its addresses, how they are read, and what opens one.

    `opens` is a function of bankai_edge.host from an Address to a Transport, as module:function: it
    is imported when it is needed.
    """

    form: str
    read: Callable[[str, str], Address]
    opens: str


# A new transport is a file that opens it and a line here.
SCHEMES = {
    "serial": Scheme("serial:PATH[@BAUD], serial:usb:SERIAL[@BAUD]", _serial,
                     "transports:over_serial"),
    "udp": Scheme("udp://HOST[:PORT]", _host, "transports:UdpTransport"),
    "tcp": Scheme("tcp://HOST[:PORT]", _host, "transports:over_tcp"),
    "unix": Scheme("unix:PATH", _path, "transports:over_unix"),
    "ssh": Scheme("ssh://[USER@]HOST[:PORT][/SOCKET]", _login, "ssh:over_ssh"),
}  # fmt: skip


def forms() -> str:
    """All that `--device` may say, for people."""
    *most, last = (scheme.form for scheme in SCHEMES.values())
    return f"/dev/ttyUSB0, {', '.join(most)} or {last}"


# ---- sockets of this machine ---------------------------------------------------------------------


def local_socket_path() -> Path:
    """Where the agent of this machine listens when told nothing else; its folder exists after.

    The user's runtime directory, or /run for root, or a folder under /tmp that only this user
    may enter. Raises UsageError when that folder belongs to someone else.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "bankai-edge.sock"
    if os.geteuid() == 0:
        return Path("/run/bankai-edge.sock")
    folder = _private_folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_private(folder):
        raise UsageError(
            f"{folder} is not this user's alone", next_step="Name a socket with --unix PATH."
        )
    return folder / "bankai-edge.sock"


def local_socket_candidates() -> list[Path]:
    """Where an agent of this machine may be listening, most likely first; creates nothing."""
    places = [Path(os.environ[key]) for key in ("XDG_RUNTIME_DIR",) if os.environ.get(key)]
    places += [Path("/run"), Path("/run/bankai-edge")]  # the latter is the installed service's
    if _private_folder().is_dir() and _is_private(_private_folder()):
        places.append(_private_folder())
    found = (place / "bankai-edge.sock" for place in places)
    return [path for path in found if path.is_socket()]


def _private_folder() -> Path:
    return Path("/tmp") / f"bankai-edge-{os.geteuid()}"


def _is_private(folder: Path) -> bool:
    status = folder.lstat()
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & 0o077
    )
