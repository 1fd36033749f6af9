"""Ways to a device beyond a cable: TCP, ssh through a real sshd, followed USB ports, mDNS."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bankai_edge.agent.network import MAX_CONNECTIONS, TcpListener, UdpListener
from bankai_edge.errors import BankaiError, NoDeviceError
from bankai_edge.host import mdns, serial_port, ssh
from bankai_edge.host.address import Address, parse_address
from bankai_edge.host.client import Client
from bankai_edge.host.transports import open_transport
from bankai_edge.model import Model
from support.agents import COMMAND, HERE, Agent, bankai, make_patch
from support.cable import CutCable
from support.link_device import MemoryDevice, bkp


@pytest.fixture(scope="module")
def patch_bytes(nano_path: Path) -> bytes:
    return make_patch(Model(nano_path), "scramble", range(0, 200, 2))


@pytest.fixture
def patch_file(patch_bytes: bytes, tmp_path: Path) -> Path:
    file = tmp_path / "scramble.bkp"
    file.write_bytes(patch_bytes)
    return file


class Served:
    """What a listener asks of an agent, from memory."""

    def __init__(self) -> None:
        self.device = MemoryDevice()
        self._lock = threading.Lock()
        self.requests = 0

    def packet(self, packet: bytes) -> bytes:
        with self._lock:
            self.requests += 1
            return self.device.packet(packet)

    def shell(self, line: str) -> Iterator[str]:
        yield f"you said {line}\n"


@pytest.fixture
def served() -> Served:
    return Served()


@pytest.fixture
def tcp(served: Served) -> Iterator[TcpListener]:
    listener = TcpListener("127.0.0.1", 0, served)
    threading.Thread(target=listener.serve, daemon=True).start()
    yield listener
    listener.close()


# -- TCP ---------------------------------------------------------------------------------------


def test_an_agent_over_tcp(nano_path: Path, tmp_path: Path, patch_file: Path) -> None:
    with Agent(nano_path, tmp_path / "store", "--tcp", "0") as agent:
        place = agent.place("tcp")
        assert place.startswith("tcp://127.0.0.1:")
        assert bankai("push", patch_file, "--use", "-d", place).returncode == 0
        assert "scramble" in bankai("list", "-d", place).stdout
    done = bankai("list", "-d", place)
    assert done.returncode == 3 and "nothing listens" in done.stderr


def test_a_client_that_says_nothing_hinders_nobody(tcp: TcpListener, served: Served) -> None:
    """Nor do more of them than are let in, nor one that never reads, nor one that sends half."""
    quiet = [socket.create_connection(("127.0.0.1", tcp.port)) for _ in range(MAX_CONNECTIONS + 9)]
    quiet[-1].sendall(b"\x06\x09AAAA")
    large = bkp("a", 3000)
    try:
        with Client(open_transport(Address("tcp", "127.0.0.1", port=tcp.port))) as client:
            assert client.push("a", large).uploaded_bytes == 3000
        assert served.device.files["a"] == large
    finally:
        for connection in quiet:
            connection.close()


def test_what_a_browser_can_be_made_to_send_is_hung_up_on(tcp: TcpListener, served: Served) -> None:
    from bankai_edge._link import frame_encode

    reset = frame_encode(b"\x0a\0\0\1\0\0\7\5\xa0")
    with socket.create_connection(("127.0.0.1", tcp.port), timeout=5) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nrm a\n" + reset)
        seen = b""
        try:
            while data := connection.recv(1000):
                seen += data
        except ConnectionResetError:
            pass
    assert seen == b"" and served.device.desk.resets == served.requests == 0


# -- UDP ---------------------------------------------------------------------------------------


def test_a_write_that_a_network_repeats_or_delays_is_executed_once(served: Served) -> None:
    """Activation of a, then of b; the network then delivers the first once more."""
    import struct

    import cbor2

    def activate(name: str, sequence: int) -> bytes:
        body = cbor2.dumps({"names": [name]})
        return struct.pack("!BBHHBB", 2 | 1 << 3, 0, len(body), 0x424B, sequence, 2) + body

    listener = UdpListener("127.0.0.1", 0, served)
    served.device.files.update(a=bkp("a"), b=bkp("b"))
    host = ("10.0.0.1", 5)
    first = listener.once(activate("a", 250), host)
    assert served.device.active == ["a"]
    assert listener.once(activate("a", 250), host) == first and served.requests == 1
    listener.once(activate("b", 4), host)  # 250 is 10 behind 4
    assert listener.once(activate("a", 250), host) == b""
    assert served.device.active == ["b"]
    listener.once(activate("a", 250), ("10.0.0.2", 5))  # another sender is another matter
    assert served.device.active == ["a"]
    old_read = b"\x08\0\0\1BK\xf0\0\xa0"
    assert listener.once(old_read, host)[:1] == b"\x09"  # a late question changes nothing
    for sequence in range(5, 300):  # and a long-lived host is never cut off
        listener.once(activate("b" if sequence % 2 else "a", sequence & 255), host)
        assert served.device.active == ["b" if sequence % 2 else "a"]
    listener.close()


def test_rollback_and_prompts_may_be_repeated_over_udp(served: Served) -> None:
    """Answers get lost: the repeated request is answered, and not executed again."""
    served.device.files.update(a=bkp("a"), b=bkp("b"))
    lost = iter([True, False] * 50)

    class Lossy(UdpListener):
        def once(self, packet: bytes, sender: object) -> bytes:
            answer = super().once(packet, sender)
            return b"" if next(lost) else answer

    listener = Lossy("127.0.0.1", 0, served)
    threading.Thread(target=listener.serve, daemon=True).start()
    address = Address("udp", "127.0.0.1", port=listener.port)
    with Client(open_transport(address), timeout_s=1.0) as client:
        client.activate(["a"])
        client.activate(["b"])
        client.rollback()
        assert served.device.active == ["a"]
        assert "".join(client.generate("hi ")) == "hi 42 (64)"
    listener.close()


# -- beyond this machine -----------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--udp", "--tcp"])
def test_a_network_is_served_only_when_said_so(
    nano_path: Path, tmp_path: Path, option: str
) -> None:
    place = "0.0.0.0:0"
    command = [*COMMAND, "agent", "-m", str(nano_path), "--store", str(tmp_path / "s")]
    done = subprocess.run(
        [*command, option, place], capture_output=True, text=True, timeout=30, cwd=HERE
    )
    assert done.returncode == 2
    assert "--require-signed" in done.stderr and "--insecure" in done.stderr
    for permission in ("--insecure", "--require-signed"):
        with Agent(nano_path, tmp_path / "s", option, place, permission, "--no-announce") as agent:
            assert "0.0.0.0" in agent.log


def test_mdns_finds_an_announced_agent(nano_path: Path, tmp_path: Path) -> None:
    pytest.importorskip("zeroconf")
    with Agent(nano_path, tmp_path / "store", "--udp", "0", "--announce") as agent:
        port = agent.udp_port
        for _ in range(3):
            found = [address for address, _ in mdns.browse(0.7)]
            if Address("udp", "127.0.0.1", port=port) in found:
                break
        else:
            pytest.skip("no multicast on this machine's loopback")
        done = bankai("devices", env={"XDG_RUNTIME_DIR": str(tmp_path)})
        assert f"udp://127.0.0.1:{port}" in done.stdout and "announces itself" in done.stdout


# -- USB ports that move -----------------------------------------------------------------------


@dataclass
class Port:
    """What pyserial tells about a port."""

    device: str
    serial_number: str | None
    vid: int | None = 0x2E8A
    pid: int | None = 0x000A
    description: str = "n/a"


def test_a_device_that_reboots_under_another_path_is_followed(
    nano_path: Path, tmp_path: Path, patch_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a push the port goes; the board comes back as another tty, empty-handed."""
    with CutCable() as first, CutCable() as second:
        ports = [Port(first.host_path, "E66118")]
        monkeypatch.setattr(serial_port, "serial_ports", lambda: ports)
        with Agent(nano_path, tmp_path / "a", "--serial", first.agent_path):
            client = Client(open_transport(parse_address(first.host_path)))
            client.info()
            client._buf_size = 128  # small chunks: the push is longer than what follows
            first.cut_after(200)

            def move() -> None:
                deadline = time.monotonic() + 10
                while first._budget and time.monotonic() < deadline:
                    time.sleep(0.01)
                first.unplug_host()
                time.sleep(0.3)
                ports[:] = [Port(second.host_path, "E66118")]

            thread = threading.Thread(target=move, daemon=True)
            thread.start()
            with client, Agent(nano_path, tmp_path / "b", "--serial", second.agent_path):
                assert client.push("scramble", patch_bytes).uploaded_bytes == len(patch_bytes)
                assert client.transport.label == second.host_path
            thread.join()
    assert (tmp_path / "b/patches").is_dir()


def test_a_port_by_its_usb_serial_number(monkeypatch: pytest.MonkeyPatch) -> None:
    with CutCable() as cable:
        monkeypatch.setattr(serial_port, "serial_ports", lambda: [Port(cable.host_path, "0001A")])
        line = serial_port.SerialPlace("usb:0001A", 115200).open()
        assert line.label == cable.host_path
        line.close()
        with pytest.raises(NoDeviceError, match=r"serial number X; seen: 0001A at /dev/pts"):
            serial_port.SerialPlace("usb:X", 115200).open()


# -- ssh ---------------------------------------------------------------------------------------


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A real sshd of our own on loopback: its port, and the ssh command that trusts it."""
    program = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if program is None or not shutil.which("ssh"):
        if os.environ.get("CI"):
            pytest.fail("sshd is not installed (apt-get install openssh-server)")
        pytest.skip("sshd is not installed")
    home = tmp_path / "ssh"
    home.mkdir(mode=0o700)
    for key in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / key)], check=True
        )
    (home / "authorized").write_text((home / "user.pub").read_text())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (home / "known").write_text(f"[127.0.0.1]:{port} {(home / 'host.pub').read_text()}")
    (home / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home / 'host'}\n"
        f"AuthorizedKeysFile {home / 'authorized'}\nPasswordAuthentication no\nUsePAM no\n"
        f"StrictModes no\nPermitRootLogin yes\nPidFile {home / 'pid'}\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True) if os.geteuid() == 0 else None
    server = subprocess.Popen(
        [program, "-D", "-e", "-f", str(home / "sshd_config")],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    said = server.stderr.readline()
    if "listening" not in said:
        server.kill()
        pytest.skip(f"sshd does not start here: {said}")
    command = (
        f"ssh -F /dev/null -i {home / 'user'} -o UserKnownHostsFile={home / 'known'} "
        "-o BatchMode=yes -o ConnectTimeout=5"
    )
    yield port, command
    server.terminate()
    server.communicate(timeout=10)


def test_a_push_through_ssh(
    sshd: tuple[int, str], nano_path: Path, tmp_path: Path, patch_file: Path
) -> None:
    """The user's own ssh, a real sshd, the program as installed there, and its running agent."""
    port, command = sshd
    program = tmp_path / "bankai-edge"
    path = os.environ.get("PYTHONPATH", "")
    program.write_text(
        f"#!/bin/sh\ncd {HERE}\nexport PYTHONPATH={path}\n"
        f'exec {sys.executable} -m bankai_edge "$@"\n'
    )
    program.chmod(0o755)
    env = {"BANKAI_SSH": command, "BANKAI_REMOTE": str(program)}
    where = f"ssh://{getpass.getuser()}@127.0.0.1:{port}"
    with Agent(nano_path, tmp_path / "store", "--unix", tmp_path / "sock"):
        place = f"{where}{tmp_path / 'sock'}"
        done = bankai("push", patch_file, "--use", "-d", place, env=env)
        assert done.returncode == 0, done.stderr
        assert f"{place}: scramble: " in done.stderr and "active: scramble" in done.stderr
        assert "scramble" in bankai("list", "-d", place, env=env).stdout
    done = bankai("list", "-d", place, env=env)  # no agent is there any more
    assert done.returncode == 3 and "no agent answers" in done.stderr
    done = bankai("list", "-d", place, env={**env, "BANKAI_REMOTE": "/no/such/program"})
    assert done.returncode == 3 and "installed there" in done.stderr
    done = bankai(
        "list",
        "-d",
        f"ssh://127.0.0.1:{port}",
        env={"BANKAI_SSH": "ssh -F /dev/null -o BatchMode=yes"},
    )
    assert done.returncode == 3 and "verification failed" in done.stderr


def test_what_ssh_is_asked() -> None:
    words = ssh.command(parse_address("ssh://me@host:2222/run/x y.sock"))
    assert words[:-1] == ["ssh", "-T", "-p", "2222", "me@host"]
    assert "agent --attach" in words[-1] and "x y.sock" in words[-1]
    assert ssh.command(parse_address("ssh://host"))[:-1] == ["ssh", "-T", "host"]


def test_attach_without_an_agent(tmp_path: Path) -> None:
    done = bankai("agent", "--attach", tmp_path / "none")
    assert done.returncode == 3 and "no agent answers" in done.stderr and done.stdout == ""
    done = bankai("agent")
    assert done.returncode == 2 and "--model" in done.stderr


def test_unreachable_hosts_are_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(NoDeviceError, match="nothing listens"):
            open_transport(Address("tcp", "127.0.0.1", port=port))
    with pytest.raises(BankaiError, match="Check the host name"):
        open_transport(Address("tcp", "no-such-host.invalid"))
