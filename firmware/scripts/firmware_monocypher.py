"""Fetch Monocypher's C sources, for firmware that verifies signatures: they are not in this tree.

    python firmware/scripts/firmware_monocypher.py [DIR]

They are those in the source distribution of pymonocypher, which pip downloads; its SHA-256 is
pinned here. Prints the directory that holds monocypher.c and monocypher.h.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "4.0.3.4"
SHA256 = "5e56e3d3eb770a53e0b9f6274146663c11a11f3d0de5cd48e3be0428d1b07a4a"
SOURCES = {  # SHA-256 of each
    "monocypher.c": "57eb914fc88136119bd41655cccb8c250048bf54d470540625186f8ab16f64be",
    "monocypher.h": "c494da712122da7ff679fdcf318a5317e84972b6c950fe9d896212947797facd",
}
PLACE = Path(__file__).resolve().parent.parent / ".pio" / f"monocypher-{VERSION}"


class FetchError(Exception):
    """The sources could not be had; says what to do."""


def fetch(place: Path = PLACE) -> Path:
    """Put the sources into `place`, unless they are there; returns it. Raises FetchError."""
    if not all(_digest(place / name) == wanted for name, wanted in SOURCES.items()):
        with tempfile.TemporaryDirectory() as scratch:
            _unpack(_download(Path(scratch)), place)
    return place


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _download(scratch: Path) -> Path:
    """pip's download of the source distribution, which has the pinned hash."""
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--no-binary", "pymonocypher", "--dest", str(scratch),
        f"pymonocypher=={VERSION}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    archive = scratch / f"pymonocypher-{VERSION}.tar.gz"
    if done.returncode or not archive.is_file():
        reason = (done.stderr.strip().splitlines() or ["no archive"])[-1]
        raise FetchError(
            f"Monocypher's sources could not be downloaded ({reason}). "
            f"Where there is no network, put {', '.join(SOURCES)} of pymonocypher {VERSION} "
            f"into {PLACE}."
        )
    if _digest(archive) != SHA256:
        raise FetchError(
            f"pip downloaded a pymonocypher {VERSION} with SHA-256 {_digest(archive)}; "
            f"expected {SHA256}. Do not use it; see whose package index pip asks."
        )
    return archive


def _unpack(archive: Path, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        for name in SOURCES:
            member = tar.extractfile(f"pymonocypher-{VERSION}/{name}")
            assert member is not None  # the archive is the one whose hash is pinned
            (place / name).write_bytes(member.read())


def main() -> None:
    """Fetch them and say where they are."""
    try:
        print(fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else PLACE))
    except FetchError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
