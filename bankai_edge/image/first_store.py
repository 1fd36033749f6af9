"""The store that a device begins with: what an agent here makes of the patches, all checks made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bankai_edge._device import DeviceError
from bankai_edge._link import rc_name, rc_text
from bankai_edge.agent.device import AgentDevice
from bankai_edge.agent.store import Store
from bankai_edge.errors import BankaiError, IncompatibleError, SignatureError, UsageError
from bankai_edge.model import Model, Session
from bankai_edge.patch import files

STORE_CTX = 64  # enough to ask patches' probes of


def make_store(
    folder: Path,
    model: Path,
    patches: Path | None,
    use: Sequence[str],
    keys: Sequence[Path],
    note: Callable[[str], None] = lambda sentence: None,
) -> None:
    """Fill `folder`, which is not there yet; with `keys`, only signed patches are taken.

    Raises UsageError, IncompatibleError (exit 4) or SignatureError (5) for a patch that the
    device would refuse.
    """
    if patches is not None and not patches.is_dir():
        raise UsageError(f"--patches {patches} is not a folder")
    opened = Model(model)
    session = Session(opened, ctx=min(STORE_CTX, opened.shape.context))
    trusted = folder.with_name(f"{folder.name}.keys")
    trusted.mkdir()
    for key in keys:
        (trusted / key.name).write_bytes(files.read_bytes(key))
    device = AgentDevice(
        session,
        Store(folder),
        log=note,
        on_reset=lambda: None,
        policy="require" if keys else "open",
        trust=trusted,
    )
    name = ""
    try:
        for path in sorted(patches.glob("*.bkp")) if patches else ():
            name = files.read(path).name
            device.push(name, files.read_bytes(path))
        name = " ".join(use)
        device.use(use)
    except DeviceError as error:
        why = error.detail or rc_text(error.rc)
        wrong: type[BankaiError] = IncompatibleError
        if rc_name(error.rc) in ("SIGNATURE", "DOWNGRADE"):
            wrong = SignatureError
        raise wrong(f"{name} is not for this image: {why}") from error
    finally:
        device.close()
