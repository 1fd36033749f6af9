"""The main job with everything real: an agent process, a pty, the commands a user types."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial

from bankai_edge.agent.store import Store
from bankai_edge.errors import BankaiError
from bankai_edge.host.address import Address
from bankai_edge.host.client import Client
from bankai_edge.host.serial_port import open_serial
from bankai_edge.host.transports import open_transport
from bankai_edge.model import Model, Session
from support.agents import COMMAND, HERE, Agent, bankai, make_patch, on_disk
from support.cable import CutCable
from support.stores import put, use

PROMPT = "what is 17 plus 25?"


@pytest.fixture(scope="module")
def model(nano_path: Path) -> Model:
    return Model(nano_path)


@pytest.fixture(scope="module")
def patch_bytes(model: Model) -> bytes:
    """100 row flips, which leave little of the model's sense: any answer then differs."""
    return make_patch(model, "scramble", range(0, 200, 2))


@pytest.fixture
def patch_file(patch_bytes: bytes, tmp_path: Path) -> Path:
    file = tmp_path / "scramble.bkp"
    file.write_bytes(patch_bytes)
    return file


@pytest.fixture
def cable() -> Iterator[CutCable]:
    with CutCable() as cable:
        yield cable


@pytest.fixture
def agent(nano_path: Path, tmp_path: Path, cable: CutCable) -> Iterator[Agent]:
    with Agent(nano_path, tmp_path / "store", "--serial", cable.agent_path) as agent:
        yield agent


@pytest.fixture
def on_cable(agent: Agent, cable: CutCable) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A command against the agent at the other end of the cable, which has to succeed."""

    def run(verb: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
        done = bankai(verb, *args, "--device", cable.host_path)
        assert done.returncode == 0, done.stderr
        return done

    return run


Run = Callable[..., subprocess.CompletedProcess[str]]


def expected_answer(model: Model, patches: list[bytes], max_tokens: int = 64) -> str:
    session = Session(model)
    session.use(patches)
    return "".join(session.generate(PROMPT, max_tokens=max_tokens))


def test_push_changes_the_answers_and_off_brings_them_back(
    on_cable: Run, model: Model, patch_bytes: bytes, patch_file: Path, cable: CutCable
) -> None:
    plain = expected_answer(model, [])
    patched = expected_answer(model, [patch_bytes])
    assert plain != patched

    assert on_cable("ask", PROMPT).stdout == plain + "\n"
    start = time.perf_counter()
    on_cable("push", patch_file, "--use")
    wall_s = time.perf_counter() - start
    print(f"push of {len(patch_bytes)} bytes, 100 flips: {wall_s * 1000:.0f} ms wall")
    assert on_cable("ask", PROMPT).stdout == patched + "\n"
    assert "ok                 True" in on_cable("verify").stdout
    on_cable("off")
    assert on_cable("ask", PROMPT).stdout == plain + "\n"
    assert cable.to_agent_bytes > 0 and cable.to_host_bytes > 0


def test_an_identical_push_costs_no_upload(on_cable: Run, patch_file: Path) -> None:
    (first,) = json.loads(on_cable("push", patch_file, "--json").stdout)["results"]
    (second,) = json.loads(on_cable("push", patch_file, "--json").stdout)["results"]
    assert first["uploaded_bytes"] == first["bytes"] == patch_file.stat().st_size
    assert second["uploaded_bytes"] == 0 and second["round_trips"] == 1


def test_json_of_every_verb(on_cable: Run, patch_file: Path, model: Model) -> None:
    def fields(verb: str, *args: str | Path) -> dict[str, object]:
        parsed = json.loads(on_cable(verb, *args, "--json").stdout)
        assert parsed["version"] == 1 and parsed["kind"] == verb
        return dict(parsed)

    fields("push", patch_file)
    assert fields("use", "scramble")["active"] == ["scramble"]
    size = patch_file.stat().st_size
    assert fields("list")["patches"] == [{"name": "scramble", "bytes": size, "active": True}]
    answer = fields("ask", PROMPT, "--max-tokens", "3")
    assert answer["text"] == expected_answer(model, [patch_file.read_bytes()], max_tokens=3)
    assert answer["tokens"] in (0, 1, 2, 3)
    info = fields("info")["info"]
    assert isinstance(info, dict)
    assert info["model_id"] == model.id.hex() and info["active"] == ["scramble"]
    assert fields("off")["active"] == []
    assert fields("rollback")["active"] == ["scramble"]
    assert fields("verify")["ok"] is True
    fields("off")
    assert fields("rm", "scramble")["removed"] == ["scramble"]
    assert fields("list")["patches"] == []


def test_a_device_times_its_own_tokens_and_the_set_stays(
    on_cable: Run, patch_file: Path, model: Model
) -> None:
    on_cable("push", patch_file, "--use")
    figures = json.loads(on_cable("bench", "--json").stdout)["figures"]
    assert 0 < figures["token_us"] <= figures["slowest_us"] and figures["tokens"] >= 3
    assert "tokens/s" in on_cable("bench").stdout
    expected = expected_answer(model, [patch_file.read_bytes()], max_tokens=3)
    assert on_cable("ask", PROMPT, "--max-tokens", "3").stdout == expected + "\n"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_active_set_survives_a_restart(
    nano_path: Path,
    tmp_path: Path,
    cable: CutCable,
    patch_file: Path,
    patch_bytes: bytes,
    model: Model,
    end: int,
) -> None:
    store = tmp_path / "store"
    with Agent(nano_path, store, "--serial", cable.agent_path) as first:
        assert bankai("push", patch_file, "--use", "-d", cable.host_path).returncode == 0
        assert first.stop(end) == (-end if end == signal.SIGKILL else 0)
    with Agent(nano_path, store, "--serial", cable.agent_path):
        answer = bankai("ask", PROMPT, "-d", cable.host_path)
        assert answer.stdout == expected_answer(model, [patch_bytes]) + "\n"


def test_in_place_agents_give_the_same_answers(
    nano_path: Path, tmp_path: Path, patch_file: Path, patch_bytes: bytes, model: Model
) -> None:
    place = f"unix:{tmp_path / 's'}"
    with Agent(nano_path, tmp_path / "store", "--unix", tmp_path / "s", "--mode", "in-place"):
        assert bankai("push", patch_file, "--use", "-d", place).returncode == 0
        answer = bankai("ask", PROMPT, "-d", place)
        assert answer.stdout == expected_answer(model, [patch_bytes]) + "\n"
        assert bankai("verify", "-d", place).returncode == 0
        assert bankai("off", "-d", place).returncode == 0
        assert bankai("ask", PROMPT, "-d", place).stdout == expected_answer(model, []) + "\n"


def quick(cable: CutCable) -> Client:
    """A client that gives up soon, for lines known to be cut."""
    transport = open_transport(Address("serial", cable.host_path))
    return Client(transport, timeout_s=0.05, tries=2)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_cut_anywhere_in_a_push_loses_nothing(
    agent: Agent,
    on_cable: Run,
    cable: CutCable,
    model: Model,
    patch_bytes: bytes,
    tmp_path: Path,
    overwrite: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The line falls silent after k bytes: the store is the old one or the new one, whole."""
    monkeypatch.setattr("bankai_edge.host.client.SLOW_TIMEOUT_S", 0.05)
    old = make_patch(model, "scramble", range(5))
    file = tmp_path / "old.bkp"
    file.write_bytes(old)

    def reset_store() -> None:
        if overwrite:
            on_cable("push", file)
        elif "scramble" in on_cable("list").stdout:
            on_cable("rm", "scramble")

    reset_store()
    with Client(open_transport(Address("serial", cable.host_path))) as client:
        client.push("scramble", patch_bytes)
        total = client.transport.sent_bytes
    cuts = [0, 1, total // 6, total // 3, total // 2, total * 2 // 3, total - 60, total - 1]
    for cut in cuts:
        reset_store()
        cable.cut_after(cut)
        with quick(cable) as client, pytest.raises(BankaiError) as caught:
            client.push("scramble", patch_bytes)
        assert caught.value.exit_code == 6
        cable.mend()
        found = on_disk(tmp_path / "store", "scramble")
        assert found in (old if overwrite else None, patch_bytes)
        with Client(open_transport(Address("serial", cable.host_path))) as client:
            client.push("scramble", patch_bytes)
            assert client.info()["active"] == []
        assert on_disk(tmp_path / "store", "scramble") == patch_bytes


def test_an_unplugged_host_fails_clearly_and_the_next_push_works(
    nano_path: Path, tmp_path: Path, patch_file: Path
) -> None:
    store = tmp_path / "store"
    with CutCable() as cable, Agent(nano_path, store, "--serial", cable.agent_path):
        cable.cut_after(100)
        push = subprocess.Popen(
            [*COMMAND, "push", str(patch_file), "--device", cable.host_path],
            stderr=subprocess.PIPE,
            text=True,
            cwd=HERE,
        )
        deadline = time.monotonic() + 10
        while cable.to_agent_bytes < 100 and time.monotonic() < deadline:
            time.sleep(0.01)
        cable.unplug_host()
        _, said = push.communicate(timeout=20)
        assert push.returncode == 3
        assert "went away" in said and "Traceback" not in said
    with CutCable() as cable, Agent(nano_path, store, "--serial", cable.agent_path):
        done = bankai("push", patch_file, "--use", "-d", cable.host_path)
        assert done.returncode == 0, done.stderr


def test_the_agent_outlives_its_serial_port(
    nano_path: Path, tmp_path: Path, patch_file: Path
) -> None:
    """A USB gadget port that goes away and comes back under its name."""
    link = tmp_path / "ttyGS0"
    with CutCable() as first, CutCable() as second:
        link.symlink_to(first.agent_path)
        with Agent(nano_path, tmp_path / "store", "--serial", link) as agent:
            first.close()
            agent.wait_for("went away")
            link.unlink()
            link.symlink_to(second.agent_path)
            agent.wait_for("is back")
            done = bankai("push", patch_file, "-d", second.host_path)
            assert done.returncode == 0, done.stderr


def test_a_patch_for_another_model_is_refused_with_both_ids(
    on_cable: Run, cable: CutCable, patch_bytes: bytes, model: Model, tmp_path: Path
) -> None:
    other_id = bytes(range(32))
    file = tmp_path / "foreign.bkp"
    file.write_bytes(patch_bytes.replace(model.id, other_id))
    done = bankai("push", file, "--use", "--device", cable.host_path)
    assert done.returncode == 4
    assert other_id.hex() in done.stderr and model.id.hex() in done.stderr
    assert json.loads(on_cable("list", "--json").stdout)["patches"] == []


def test_rows_that_differ_are_refused(
    cable: CutCable, agent: Agent, model: Model, tmp_path: Path
) -> None:
    from dataclasses import replace

    from bankai_edge.patch import decode, encode

    good = decode(make_patch(model, "crc", [1]))
    assert good.crc is not None
    file = tmp_path / "crc.bkp"
    file.write_bytes(encode(replace(good, crc=good.crc ^ 1)))
    done = bankai("push", file, "--device", cable.host_path)
    assert done.returncode == 4 and "not those the patch was made for" in done.stderr


def test_truncated_and_absent_files_are_told_before_any_device_is_asked(
    patch_bytes: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "short.bkp"
    file.write_bytes(patch_bytes[:-3])
    done = bankai("push", file, "--device", "/dev/no-such-port")
    assert done.returncode == 4 and "short.bkp is truncated" in done.stderr
    done = bankai("push", tmp_path / "none.bkp", "--device", "/dev/no-such-port")
    assert done.returncode == 1 and "cannot be read" in done.stderr


def test_an_unbound_patch_is_taken_only_when_the_agent_was_told_to(
    nano_path: Path, tmp_path: Path
) -> None:
    from bankai_edge.patch import Patch, encode

    file = tmp_path / "loose.bkp"
    file.write_bytes(encode(Patch(name="loose", rows=((0, 4, 1),))))
    place = f"unix:{tmp_path / 's'}"
    with Agent(nano_path, tmp_path / "store", "--unix", tmp_path / "s"):
        done = bankai("push", file, "--use", "-d", place)
        assert done.returncode == 4 and "patch bind" in done.stderr
    with Agent(nano_path, tmp_path / "store", "--unix", tmp_path / "s", "--unbound"):
        assert bankai("push", file, "--use", "-d", place).returncode == 0


def test_an_absent_port_names_what_was_seen_instead() -> None:
    done = bankai("list", "--device", "/dev/no-such-port")
    assert done.returncode == 3
    assert "there is no /dev/no-such-port; serial ports seen:" in done.stderr


def test_no_device_at_all(tmp_path: Path) -> None:
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    if Path("/run/bankai-edge.sock").exists():
        pytest.skip("an agent runs on this machine")
    done = bankai("list", env=environment)
    assert done.returncode == 3 and "no device" in done.stderr


def test_a_silent_port_is_a_timeout() -> None:
    with CutCable() as cable:
        done = bankai("info", "--device", cable.host_path, "--timeout", "0.1")
    assert done.returncode == 6 and "silent" in done.stderr


def test_a_busy_port_is_named() -> None:
    with CutCable() as cable:
        holder = serial.Serial(cable.host_path, exclusive=True)
        done = bankai("info", "--device", cable.host_path)
        holder.close()
    assert done.returncode == 3
    assert f"{cable.host_path} is busy" in done.stderr


def test_empty_and_too_long_prompts(on_cable: Run, cable: CutCable) -> None:
    done = bankai("ask", "  ", "--device", cable.host_path)
    assert done.returncode == 2 and "prompt is empty" in done.stderr
    done = bankai("ask", "17+25=" * 100, "--device", cable.host_path)
    assert done.returncode == 1 and "longer than the context" in done.stderr
    assert on_cable("ask", PROMPT).stdout.strip()


def test_a_name_with_a_slash_is_refused(cable: CutCable, agent: Agent, patch_file: Path) -> None:
    for name in ("a/b", "../x"):
        done = bankai("push", patch_file, "--name", name, "--device", cable.host_path)
        assert done.returncode == 1 and repr(name) in done.stderr
        done = bankai("rm", name, "--device", cable.host_path)
        assert done.returncode == 1 and "a name must match" in done.stderr


def test_a_file_named_unlike_its_patch_is_refused(
    agent: Agent, cable: CutCable, patch_bytes: bytes
) -> None:
    with (
        Client(open_transport(Address("serial", cable.host_path))) as client,
        pytest.raises(BankaiError, match="'scramble', the file 'other'"),
    ):
        client.push("other", patch_bytes)


def test_a_new_version_of_an_active_patch_is_active_at_once(
    on_cable: Run, model: Model, patch_file: Path, tmp_path: Path
) -> None:
    on_cable("push", patch_file, "--use")
    newer = make_patch(model, "scramble", range(200))
    file = tmp_path / "newer.bkp"
    file.write_bytes(newer)
    on_cable("push", file)
    assert on_cable("ask", PROMPT).stdout == expected_answer(model, [newer]) + "\n"


def test_stock_smpmgr_reaches_the_agent(
    on_cable: Run, cable: CutCable, patch_file: Path, patch_bytes: bytes
) -> None:
    """An unmodified third-party client echoes, uploads a patch and asks for its hash."""
    smpmgr = shutil.which("smpmgr", path=str(Path(sys.executable).parent))
    if smpmgr is None:
        pytest.skip("smpmgr is not installed")

    def run(*args: str) -> str:
        done = subprocess.run(
            [smpmgr, "--port", cable.host_path, *args],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "COLUMNS": "200"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "r='hello'" in run("os", "echo", "hello")
    run("file", "upload", str(patch_file), "/bkp/scramble.bkp")
    assert str(hashlib.sha256(patch_bytes).digest()) in run("file", "get-hash", "/bkp/scramble.bkp")
    assert '"active": ["scramble"]' in on_cable("use", "scramble", "--json").stdout


def test_several_listeners_at_once(nano_path: Path, tmp_path: Path, patch_file: Path) -> None:
    with (
        CutCable() as cable,
        Agent(
            nano_path, tmp_path / "store", "--serial", cable.agent_path, "--udp", "0",
            "--unix", tmp_path / "s",
        ) as agent,
    ):  # fmt: skip
        places = [f"udp://127.0.0.1:{agent.udp_port}", f"unix:{tmp_path / 's'}", cable.host_path]
        done = bankai("push", patch_file, *(word for p in places for word in ("-d", p)), "--json")
        results = json.loads(done.stdout)["results"]
        assert done.returncode == 0, done.stderr
        assert [r["device"] for r in results] == places
        assert any(r["uploaded_bytes"] for r in results)  # side by side, whoever was first
        again = bankai("push", patch_file, "-d", places[0], "-d", places[1], "--json")
        assert [r["uploaded_bytes"] for r in json.loads(again.stdout)["results"]] == [0, 0]
        done = bankai("push", patch_file, "-d", places[0], "-d", "/dev/no-such-port")
        assert done.returncode == 3


def test_the_local_agent_is_found_without_a_device(nano_path: Path, tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    socket = runtime / "bankai-edge.sock"
    environment = {"XDG_RUNTIME_DIR": str(runtime)}
    with Agent(nano_path, tmp_path / "store", "--unix", socket):
        assert socket.stat().st_mode & 0o077 == 0
        done = bankai("info", env=environment)
        assert done.returncode == 0 and str(socket) in done.stdout
        done = bankai("devices", "--json", env=environment)
        assert done.returncode == 0
        local = json.loads(done.stdout)["devices"][0]
        assert local["address"] == f"unix:{socket}" and local["answers"]
        second = subprocess.run(
            [*COMMAND, "agent", "--model", nano_path, "--store", tmp_path / "b", "--unix", socket],
            capture_output=True,
            text=True,
            timeout=20,
            cwd=HERE,
        )
        assert second.returncode == 1 and "another agent answers" in second.stderr
    assert not socket.exists()


def test_the_environment_names_the_device(nano_path: Path, tmp_path: Path) -> None:
    with Agent(nano_path, tmp_path / "store", "--unix", tmp_path / "s"):
        done = bankai("info", env={"BANKAI_DEVICE": f"unix:{tmp_path / 's'}"})
        assert done.returncode == 0


def test_stdio_carries_the_same_packets(
    nano_path: Path, tmp_path: Path, patch_bytes: bytes
) -> None:
    from bankai_edge.host.lines import ByteLine
    from bankai_edge.host.transports import FramedTransport

    process = subprocess.Popen(
        [*COMMAND, "agent", "--model", nano_path, "--store", tmp_path / "store", "--stdio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=HERE,
    )
    assert process.stdin is not None and process.stdout is not None
    line = ByteLine("stdio", process.stdout.fileno(), process.stdin.fileno(), process.stdin.close)
    with Client(FramedTransport(line), timeout_s=20) as client:
        assert client.push("scramble", patch_bytes).uploaded_bytes == len(patch_bytes)
        assert client.activate(["scramble"]) > 0
    assert process.wait(timeout=20) == 0
    process.stdout.close()


def test_a_human_on_the_serial_line_gets_plain_text(
    on_cable: Run, cable: CutCable, patch_file: Path, model: Model
) -> None:
    on_cable("push", patch_file)
    line = open_serial(cable.host_path, 115200)

    def type_in(text: str, until: str) -> str:
        line.write(text.encode() + b"\r")
        seen = ""
        deadline = time.monotonic() + 10
        while until not in seen:
            assert time.monotonic() < deadline, seen
            seen += line.read(0.2).decode()
        return seen

    assert "use NAME" in type_in("help", "ask TEXT")
    assert "  scramble" in type_in("list", "bytes\r\n")
    assert "active: scramble" in type_in("use scramble", "us)\r\n")
    assert "no patch 'nope'" in type_in("use nope", "\r\n")
    assert "active: nothing" in type_in("off", "us)\r\n")
    plain = expected_answer(model, [])
    assert type_in(f"ask {PROMPT}", "\r\n") == plain + "\r\n"
    assert "the prompt is empty" in type_in("ask", "\r\n")
    assert "try help" in type_in("hello", "\r\n")
    line.close()
    # and programs are answered on the same line
    assert on_cable("list").stdout


def test_a_model_swap_starts_with_the_misfit_inactive(
    nano_path: Path, tmp_path: Path, patch_bytes: bytes, patch_file: Path, model: Model
) -> None:
    """The active patch does not fit the model that the agent now starts with."""
    place = f"unix:{tmp_path / 's'}"
    store = tmp_path / "store"
    opened = Store(store)
    put(opened, "scramble", patch_bytes.replace(model.id, bytes(range(32))))
    use(opened, "scramble")
    opened.close()
    with Agent(nano_path, store, "--unix", tmp_path / "s") as agent:
        assert "scramble stays inactive" in agent.log
        listed = json.loads(bankai("list", "-d", place, "--json").stdout)["patches"]
        assert [p["active"] for p in listed] == [False]
        verify = bankai("verify", "-d", place)
        assert verify.returncode == 1 and "scramble" in verify.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_full_disk_is_a_clear_error_and_loses_nothing(
    nano_path: Path, tmp_path: Path, model: Model, patch_file: Path
) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(mount)]
    if subprocess.run(options, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    place = f"unix:{tmp_path / 's'}"
    try:
        with Agent(nano_path, mount, "--unix", tmp_path / "s"):
            assert bankai("push", patch_file, "--use", "-d", place).returncode == 0
            ballast = os.open(mount / "ballast", os.O_WRONLY | os.O_CREAT)
            with pytest.raises(OSError):
                while True:
                    os.write(ballast, bytes(1024))
            os.close(ballast)
            other = tmp_path / "other.bkp"
            other.write_bytes(make_patch(model, "other", range(50)))
            done = bankai("push", other, "-d", place)
            assert done.returncode == 1
            assert "full" in done.stderr and "bankai-edge rm" in done.stderr
            listed = json.loads(bankai("list", "-d", place, "--json").stdout)["patches"]
            assert [(p["name"], p["active"]) for p in listed] == [("scramble", True)]
            (mount / "ballast").unlink()
            assert bankai("push", other, "-d", place).returncode == 0
    finally:
        subprocess.run(["umount", str(mount)], check=False)
