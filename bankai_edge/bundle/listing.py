"""What a bundle holds, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bankai_edge.bundle.container import Bundle

_GROUPS = {  # the first part of a path -> what people call it
    "wheels": "packages",
    "model": "model",
    "patches": "patches",
    "keys": "keys",
}


def described(bundle: Bundle) -> dict[str, Any]:
    """Everything that a bundle says about itself; sizes in bytes, hashes and keys in hex."""
    manifest = bundle.manifest
    return {
        "file": str(bundle.path),
        "bytes": bundle.size_bytes,
        "id": manifest.id,
        "version": manifest.version,
        "board": manifest.board,
        "machine": manifest.machine,
        "glibc": f"2.{manifest.glibc}" if manifest.glibc else None,
        "pythons": {python: list(wheels) for python, wheels in manifest.pythons.items()},
        "model": {
            "file": manifest.model.path,
            "name": manifest.model.name,
            "id": manifest.model.id,
            "ctx": manifest.model.ctx,
        },
        "patches": list(manifest.patches),
        "keys": list(manifest.keys),
        "policy": manifest.policy,
        "agent": list(manifest.agent),
        "signed_by": bundle.signature.public_key.hex() if bundle.signature else None,
        "files": [
            {"path": file.path, "bytes": file.size_bytes, "sha256": file.sha256}
            for file in manifest.files
        ],
    }


def lines(bundle: Bundle) -> Iterator[str]:
    """The same as text, a line at a time."""
    manifest, model = bundle.manifest, bundle.manifest.model
    yield f"bundle     {manifest.id}, {bundle.size_bytes:,} bytes, bankai-edge {manifest.version}"
    libc = f", glibc 2.{manifest.glibc} or newer" if manifest.glibc else ""
    yield (
        f"for        {manifest.board}: {manifest.machine}, "
        f"CPython {' or '.join(manifest.pythons)}{libc}"
    )
    yield f"model      {model.name}, a context of {model.ctx:,} tokens; id {model.id}"
    yield f"agent      policy {manifest.policy} {' '.join(manifest.agent)}".rstrip()
    signer = bundle.signature.public_key.hex() if bundle.signature else "nobody"
    yield f"signed by  {signer}"
    sums: dict[str, int] = {}
    for file in manifest.files:
        group = _GROUPS.get(file.path.partition("/")[0], "installer")
        sums[group] = sums.get(group, 0) + file.size_bytes
    yield "bytes      " + ", ".join(f"{group} {size:,}" for group, size in sums.items())
    for file in manifest.files:
        yield f"{file.size_bytes:>13,}  {file.sha256}  {file.path}"
