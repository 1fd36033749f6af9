"""Bundles for this machine: tiny ones of made-up wheels, and one of what the tests run on."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import platform
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import bankai_edge
from bankai_edge import __version__
from bankai_edge.boards import Board, find
from bankai_edge.bundle.make import Contents
from bankai_edge.shipped import NANO
from support import ROOT

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
TAG = f"cp{PYTHON.replace('.', '')}"
MACHINE = platform.machine()
BOARD = {"x86_64": "x86-64"}.get(MACHINE, MACHINE)
REQUIRED = ("numpy", "pyserial", "cbor2", "click", "rich", "markdown-it-py", "mdurl", "pygments")
MODEL_ID = bytes(range(32))

_TINY = """import sys


def main() -> None:
    print({version!r}, *sys.argv[1:])
"""


def board() -> Board:
    """The board that this machine is."""
    pi = find("rpi4")
    assert pi.cpu is not None
    cpu = replace(pi.cpu, architecture=BOARD)  # type: ignore[arg-type]
    return replace(pi, id=BOARD, cpu=cpu)


def write_wheel(
    out: Path, name: str, version: str, tag: str, files: Iterable[tuple[str, bytes]], metadata: str
) -> Path:
    """Write a wheel; stored, as it is soon unpacked again."""
    info = f"{name}-{version}.dist-info"
    path = out / f"{name}-{version}-{tag}.whl"
    rows = []
    with zipfile.ZipFile(path, "w") as archive:
        parts = [*files, (f"{info}/METADATA", metadata.encode())]
        parts.append((f"{info}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n".encode()))
        for file, data in parts:
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append(f"{file},sha256={digest},{len(data)}\n")
            archive.writestr(zipfile.ZipInfo(file), data)
        record = "".join(rows) + f"{info}/RECORD,,\n"
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), record)
    return path


def wheel_of(name: str, out: Path) -> Path:
    """An installed distribution as a wheel, without its tests."""
    found = importlib.metadata.distribution(name)
    tag = (found.read_text("WHEEL") or "").rpartition("Tag: ")[2].split()[0]
    files = []
    for entry in found.files or ():
        plain = not str(entry).startswith("..") and entry.suffix != ".pyc"
        if plain and "tests" not in entry.parts and not entry.parts[0].endswith(".dist-info"):
            files.append((str(entry), Path(str(entry.locate())).read_bytes()))
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {found.version}\n"
    metadata += "".join(
        f"Requires-Dist: {needed}\n" for needed in found.requires or () if "extra" not in needed
    )
    written = name.replace("-", "_").lower()
    return write_wheel(out, written, found.version, tag, files, metadata)


def own_wheel(out: Path) -> Path:
    """The bankai-edge that the tests run, as a wheel for this Python."""
    package = Path(bankai_edge.__file__).parent
    files = [
        (f"bankai_edge/{path.relative_to(package)}", path.read_bytes())
        for path in sorted(walk(package))
        if "__pycache__" not in path.parts
    ]
    installed = {name for name, _ in files}
    for path in sorted((ROOT / "boards").glob("*.toml")):
        if f"bankai_edge/boards/{path.name}" not in installed:  # a build folder's are elsewhere
            files.append((f"bankai_edge/boards/{path.name}", path.read_bytes()))
    metadata = f"Metadata-Version: 2.1\nName: bankai-edge\nVersion: {__version__}\n"
    metadata += "".join(f"Requires-Dist: {name}\n" for name in REQUIRED[:5])
    for extra, name in (("sign", "cryptography"), ("image", "packaging")):
        metadata += f"Provides-Extra: {extra}\nRequires-Dist: {name}; extra == '{extra}'\n"
    scripts = b"[console_scripts]\nbankai-edge = bankai_edge.cli.main:main\n"
    files.append((f"bankai_edge-{__version__}.dist-info/entry_points.txt", scripts))
    return write_wheel(
        out, "bankai_edge", __version__, f"{TAG}-{TAG}-linux_{MACHINE}", files, metadata
    )


def walk(folder: Path) -> Iterable[Path]:
    """Every file below a folder, through links to folders."""
    for path in folder.iterdir():
        if path.is_dir():
            yield from walk(path)
        else:
            yield path


def tiny_wheel(out: Path, version: str) -> Path:
    """A bankai-edge that only says which one it is."""
    files = [
        ("bankai_edge/__init__.py", b""),
        ("bankai_edge/cli/__init__.py", b""),
        ("bankai_edge/cli/main.py", _TINY.format(version=version).encode()),
        ("bankai_edge/cli/__pycache__/main.cpython-311.pyc", b"of the machine that built it"),
    ]
    out.mkdir(exist_ok=True)
    tag = f"py3-none-linux_{MACHINE}"
    metadata = f"Metadata-Version: 2.1\nName: bankai-edge\nVersion: {__version__}\n"
    return write_wheel(out, "bankai_edge", __version__, tag, files, metadata)


def tiny(out: Path, version: str, *, model: bytes = b"", **fields: object) -> Contents:
    """What a tiny bundle holds: its files lie in `out`, or are the nano's."""
    wheel = tiny_wheel(out / version, version)
    path = NANO
    if model:
        path = out / version / "model.gguf"
        path.write_bytes(model)
    given: Mapping[str, object] = {
        "board": board(), "model": path, "model_name": "a model", "model_id": MODEL_ID,
        "ctx": 64, "pythons": {PYTHON: [wheel]}, **fields,
    }  # fmt: skip
    return Contents(**given)  # type: ignore[arg-type]
