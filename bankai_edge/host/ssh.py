"""A device behind the user's own ssh: `bankai-edge agent --attach` runs there, on its socket.

Keys, agents, jump hosts and passwords are ssh's business. `BANKAI_SSH` is the command to run in
place of `ssh` (as GIT_SSH_COMMAND is for git), `BANKAI_REMOTE` the program to run in place of
`bankai-edge` on the other side.
"""

from __future__ import annotations

import os
import select
import shlex
import subprocess
import tempfile
import time

from bankai_edge.errors import NoDeviceError
from bankai_edge.host.address import Address
from bankai_edge.host.lines import ByteLine
from bankai_edge.host.transports import Transport, over

HELLO = b"bankai-edge attached to "  # the first line of `agent --attach`
LOGIN_S = 60.0  # a human may be typing a passphrase
END_S = 2.0


def open_ssh(address: Address) -> ByteLine:
    """Start ssh and wait until the agent there is attached; raises NoDeviceError."""
    label = str(address)
    # No pipe: nobody would read it while the line is in use.
    said = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        process = subprocess.Popen(
            command(address), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
        )
    except OSError as error:
        said.close()
        raise NoDeviceError(
            f"{label}: ssh cannot be started: {error.strerror}",
            next_step="Install an ssh client, or name one in BANKAI_SSH.",
        ) from error
    assert process.stdin is not None and process.stdout is not None
    read_fd, write_fd = process.stdout.fileno(), process.stdin.fileno()

    def close() -> None:
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
        said.close()

    seen = _first_lines(read_fd)
    if HELLO not in seen:
        # It has ended, or says nothing: what it told its user is the best there is.
        process.terminate()
        process.wait()
        said.seek(0)
        words = said.read().decode(errors="replace").strip().splitlines()
        close()
        raise NoDeviceError(
            f"{label}: {'; '.join(words[-2:]) or 'no agent was reached'}",
            next_step="Does `ssh` reach that host, is bankai-edge installed there, and its agent "
            "running?",
        )
    return ByteLine(label, read_fd, write_fd, close)


def over_ssh(address: Address) -> Transport:
    """Packets over ssh."""
    return over(lambda: open_ssh(address))


def command(address: Address) -> list[str]:
    """The words that start ssh and, behind it, the attaching program."""
    ssh = shlex.split(os.environ.get("BANKAI_SSH", "")) or ["ssh"]
    port = ["-p", str(address.port)] if address.port else []
    program = os.environ.get("BANKAI_REMOTE") or "bankai-edge"
    socket = f" {shlex.quote(address.path)}" if address.path else ""
    # A login without a terminal has a short PATH; this is where pip and pipx put programs.
    inner = f"PATH=$PATH:$HOME/.local/bin exec {program} agent --attach{socket}"
    return [*ssh, "-T", *port, address.place, f"sh -c {shlex.quote(inner)}"]


def _first_lines(descriptor: int) -> bytes:
    """What comes up to the line that says the agent is there, or up to the end."""
    seen = b""
    deadline = time.monotonic() + LOGIN_S
    while True:
        # byte by byte behind the greeting's start: what follows it is the agent's
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
            return b""
        byte = os.read(descriptor, 1)
        if not byte:
            return b""
        seen += byte
        if byte == b"\n" and HELLO in seen:
            return seen
