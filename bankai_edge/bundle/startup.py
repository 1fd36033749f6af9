"""How a version is started: two small programs, a systemd unit, and the links to them.

The links point through `current`, so that they are made once and switch with it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from bankai_edge.bundle.manifest import UNIT, Manifest
from bankai_edge.bundle.versions import PREFIX, STORE
from bankai_edge.durable import Disk

PROGRAM, AGENT = "bin/bankai-edge", "bin/bankai-edge-agent"
SOCKET = "/run/bankai-edge/bankai-edge.sock"
_UNITS = "etc/systemd/system"
_LINKS = {  # in the root -> what stands in the version that is run
    f"{_UNITS}/{UNIT}": UNIT,
    f"{_UNITS}/multi-user.target.wants/{UNIT}": UNIT,
    "usr/local/bin/bankai-edge": PROGRAM,
}

_START = """#!{python} -B
# {what}. Written by the install, for the Python that it ran on.
import os
import sys

version = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path[0] = os.path.join(version, "site")
# Also for processes that this one starts; no bytecode is written behind the install's back.
os.environ["PYTHONPATH"] = sys.path[0]
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
"""
_RUN = """from bankai_edge.cli.main import main

main()
"""


def program(python: str) -> bytes:
    """The command `bankai-edge`, run by the interpreter at `python`."""
    return (_START.format(python=python, what="The command bankai-edge") + _RUN).encode()


def agent_program(python: str, manifest: Manifest) -> bytes:
    """The agent with the bundle's model, policy and listeners; further arguments are added."""
    arguments = ["--policy", manifest.policy, "--ctx", str(manifest.model.ctx), *manifest.agent]
    lines = [
        'root = os.path.normpath(os.path.join(version, "../../../.."))',
        "sys.argv[1:1] = [",
        '    "agent", "--seed", version,',
        f'    "--model", os.path.join(version, {manifest.model.path!r}),',
        f'    "--store", os.path.join(root, {STORE!r}),',
        *(f"    {argument!r}," for argument in arguments),
        "]",
    ]
    head = _START.format(python=python, what="The agent, as its bundle set it up")
    return (head + "\n".join(lines) + "\n" + _RUN).encode()


def unit(serial: Iterable[str]) -> bytes:
    """The systemd unit of the agent; a login prompt on one of its serial ports gives way to it."""
    prompts = [f"serial-getty@{port.removeprefix('/dev/')}.service" for port in serial]
    conflicts = f"Conflicts={' '.join(prompts)}\nAfter={' '.join(prompts)}\n" if prompts else ""
    return f"""[Unit]
Description=bankai-edge agent: a 1-bit language model and its patches
After=local-fs.target
StartLimitIntervalSec=0
{conflicts}
[Service]
# Further listeners, as BANKAI_AGENT_ARGS="--udp 0.0.0.0:1337", outlast an update there.
EnvironmentFile=-/etc/default/bankai-edge
ExecStart=/{PREFIX}/current/{AGENT} --unix {SOCKET} $BANKAI_AGENT_ARGS
Restart=always
RestartSec=2
DynamicUser=yes
SupplementaryGroups=dialout
StateDirectory={Path(STORE).name}
RuntimeDirectory={Path(SOCKET).parent.name}
ProtectHome=yes

[Install]
WantedBy=multi-user.target
""".encode()


def has_systemd(root: Path) -> bool:
    """Whether the system in `root` starts its services with systemd."""
    return any(
        (root / place).exists() for place in ("usr/lib/systemd/systemd", "lib/systemd/systemd")
    )


def make_links(root: Path, disk: Disk, note: Callable[[str], None]) -> None:
    """Put the program on the PATH, and the unit where systemd looks.

    What somebody else put there stays; that, and what cannot be made, `note` is told: the version
    runs all the same.
    """
    for place, what in _LINKS.items():
        if place.startswith(_UNITS) and not has_systemd(root):
            continue
        path = root / place
        text = os.path.relpath(root / PREFIX / "current" / what, path.parent)
        if path.is_symlink() and str(path.readlink()) == text:
            continue
        if path.exists() or path.is_symlink():
            note(f"{path} is not of this program and stays as it is")
            continue
        try:
            disk.make_directories(path.parent)
            disk.point(path, text)
        except OSError as error:
            note(f"{path} cannot be made ({error.strerror})")


def restart(root: Path, note: Callable[[str], None]) -> None:
    """Have the running systemd, if it is this root's, start the version that is run now."""
    if root != Path("/") or not Path("/run/systemd/system").is_dir():
        return
    for arguments in (["daemon-reload"], ["restart", UNIT]):
        with contextlib.suppress(FileNotFoundError):
            done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True)
            if done.returncode:
                note(f"systemctl {' '.join(arguments)} failed: {done.stderr.strip()}")
                return
    note(f"{UNIT} is started; see it with: systemctl status {UNIT}")
