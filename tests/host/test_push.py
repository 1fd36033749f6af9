"""push to several devices, the fleet file, dry runs, and what `devices` tells of near misses."""

from __future__ import annotations

import grp
import json
import os
import pty
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bankai_edge import boards
from bankai_edge.agent.pty_line import PtyCable
from bankai_edge.errors import UsageError
from bankai_edge.host import discover, fleet, serial_port
from bankai_edge.model import Model
from support.agents import COMMAND, HERE, Agent, bankai, make_patch


@pytest.fixture(scope="module")
def patch_file(nano_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("patch") / "scramble.bkp"
    file.write_bytes(make_patch(Model(nano_path), "scramble", range(0, 200, 2)))
    return file


@pytest.fixture(scope="module")
def two(nano_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Two agents' addresses."""
    home = tmp_path_factory.mktemp("two")
    with (
        Agent(nano_path, home / "a", "--unix", home / "a.sock"),
        Agent(nano_path, home / "b", "--udp", "0") as b,
    ):
        yield [f"unix:{home / 'a.sock'}", b.place("udp")]


def results(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    parsed = json.loads(done.stdout)["results"]
    assert isinstance(parsed, list)
    return parsed


def test_a_fleet_is_served_side_by_side_with_a_summary(
    two: list[str], patch_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(
        f'cellar = "unix:{tmp_path}/gone"\n'
        f'[kitchen]\ndevice = "{two[0]}"\ntags = ["home"]\n'
        f'[attic]\ndevice = "{two[1]}"\ntags = ["home", "upstairs"]\n'
    )
    env = {"BANKAI_FLEET": str(file)}
    done = bankai("push", patch_file, "-d", "@tag:home", "--dry-run", "--json", env=env)
    rows = results(done)
    assert (
        done.returncode == 0
        and [r["would_upload_bytes"] for r in rows] == [patch_file.stat().st_size] * 2
    )
    assert "2 devices: 2 done, 0 failed" in done.stderr
    assert "scramble" not in bankai("list", "-d", "@attic", env=env).stdout  # a dry run

    done = bankai("push", patch_file, "-d", "@tag:home", "--use", "--json", env=env)
    assert done.returncode == 0
    assert [(r["device"], r["ok"], r["active"]) for r in results(done)] == [
        (place, True, ["scramble"]) for place in two
    ]
    assert "@kitchen: scramble: " in done.stderr and "@attic: scramble: " in done.stderr
    assert "%" not in done.stderr  # no bar where there is no terminal

    done = bankai("push", patch_file, "--fleet", file, "-d", "@all", "--json")
    assert done.returncode == 3  # the cellar's
    assert [(r["device"], r["ok"]) for r in results(done)] == [
        ("@cellar", False), (two[0], True), (two[1], True),
    ]  # fmt: skip
    assert "@cellar: no agent answers" in done.stderr
    assert "3 devices: 2 done, 1 failed" in done.stderr

    done = bankai("off", "-d", "@tag:home", env=env)
    assert done.returncode == 0 and done.stderr.count("active: nothing") == 2
    done = bankai("list", "-d", "@tag:home", env=env)
    assert done.returncode == 2 and "2 devices are named: @kitchen, @attic" in done.stderr
    done = bankai("list", "-d", "@garage", env=env)
    assert done.returncode == 2 and "@kitchen, @attic, @tag:home, @tag:upstairs" in done.stderr


def test_all_is_what_answers(nano_path: Path, patch_file: Path, tmp_path: Path) -> None:
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with Agent(nano_path, tmp_path / "store", "--unix", tmp_path / "bankai-edge.sock"):
        done = bankai("push", patch_file, "-d", "all", "--json", env=runtime)
        assert done.returncode == 0
        assert f"unix:{tmp_path / 'bankai-edge.sock'}" in [r["device"] for r in results(done)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = [1]", "x is no device"),
        ('[x]\naddress = "udp://a"', "x is no device"),
        ('x = "ttyUSB0"', "is not an address"),
        ('[all]\ndevice = "udp://a"', "all is no name"),
        ("[x", "is not TOML"),
    ],
)
def test_what_a_fleet_file_cannot_mean(text: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=complaint):
        fleet.load_fleet(file)


def test_a_missing_fleet_file_says_what_to_write(tmp_path: Path) -> None:
    done = bankai("list", "-d", "@kitchen", env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert done.returncode == 2 and "bankai-edge/fleet.toml cannot be read" in done.stderr
    assert 'device = "ADDRESS"' in done.stderr


def test_retries_and_timeout_bound_the_wait() -> None:
    with PtyCable() as cable:
        done = bankai("info", "-d", cable.host_path, "--timeout", "0.1", "--retries", "0")
        assert done.returncode == 6 and "no answer in 1 × 0.1 s" in done.stderr
        done = bankai("info", "-d", cable.host_path, "--timeout", "0.05", "--retries", "4")
        assert done.returncode == 6 and "no answer in 5 × 0.05 s" in done.stderr


def test_a_bar_is_drawn_on_a_terminal_only(
    two: list[str], patch_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, terminal = pty.openpty()
    words = [*COMMAND, "push", str(patch_file), "-d", two[0], "-d", two[1]]
    done = subprocess.run(
        words, stderr=terminal, stdout=subprocess.PIPE, cwd=HERE, timeout=60,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(terminal)
    seen = b""
    try:
        while data := os.read(controller, 4096):
            seen += data
    except OSError:
        pass
    os.close(controller)
    assert done.returncode == 0 and b"100%" in seen and b"2 done" in seen


# -- devices -----------------------------------------------------------------------------------


class Port:
    """What pyserial tells about a port."""

    description = "n/a"

    def __init__(self, device: str, vid: int | None, pid: int | None, number: str | None) -> None:
        self.device, self.vid, self.pid, self.serial_number = device, vid, pid, number


def test_near_misses_are_told_with_their_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with PtyCable() as silent, PtyCable() as noisy, PtyCable() as busy:
        holder = serial_port.open_serial(busy.host_path, 115200)
        chatter = serial_port.open_serial(noisy.agent_path, 9600)
        ports = [
            Port(silent.host_path, 0x2E8A, 0x000A, "E66118"),
            Port(noisy.host_path, 0x1A86, 0x7523, None),
            Port(busy.host_path, None, None, None),
            Port("/dev/no-such-port", 0x1234, 0x5678, None),
        ]
        monkeypatch.setattr(discover, "serial_ports", lambda: ports)
        monkeypatch.setattr(discover, "local_socket_candidates", list)
        monkeypatch.setattr(discover.mdns, "available", lambda: False)

        stop = threading.Event()

        def chat() -> None:
            while not stop.wait(0.05):
                chatter.write(b"\xfe\x80garbage\xf8")

        thread = threading.Thread(target=chat)
        thread.start()
        try:
            found = discover.discover()
        finally:
            stop.set()
            thread.join()
            holder.close()
            chatter.close()
    by_place = {place.address.place: place for place in found}
    assert [place.info for place in found] == [None] * 4
    quiet = by_place[silent.host_path]
    assert quiet.about == "Raspberry Pi Pico, USB 2e8a:000a serial:usb:E66118"
    assert quiet.problem == "no answer at 115200 baud" and "@BAUD" in quiet.remedy
    other = by_place[noisy.host_path]
    assert other.about.startswith("USB serial adapter") and "bytes come" in other.problem
    taken = by_place[busy.host_path]
    assert "busy" in taken.problem and "Close that program" in taken.remedy
    assert "unknown USB device" in by_place["/dev/no-such-port"].about


def test_a_port_that_may_not_be_opened_names_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = tmp_path / "ttyX"
    port.write_text("")
    port.chmod(0o660)
    group = grp.getgrgid(port.stat().st_gid).gr_name
    error = serial_port._serial_error(str(port), 115200, PermissionError(13, "denied"))
    assert f"usermod -aG {group} $USER" in str(error) and error.exit_code == 3
    port.chmod(0o600)
    error = serial_port._serial_error(str(port), 115200, PermissionError(13, "denied"))
    assert "udev" in str(error)


def test_every_board_file_is_read_and_no_usb_id_names_two() -> None:
    known = boards.boards()
    assert known
    ids = [pair for board in known for pair in board.usb]
    assert len(ids) == len(set(ids))
    pico = boards.board_of_usb(0x2E8A, 0x000A)
    assert pico is not None and pico.name == "Raspberry Pi Pico"
    assert boards.board_of_usb(None, None) is None
