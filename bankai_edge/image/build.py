"""A bootable image for an empty card: packages in, one file out, and what it is made of.

No ARM code runs and nothing needs root. The same order, the same lock and the same model give the
same bytes: times are one time, names are sorted, and identifiers are hashes of what they name.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from bankai_edge.durable import sha256_of
from bankai_edge.errors import UsageError
from bankai_edge.image import boot, packages, partitions, rootfs
from bankai_edge.image.packages import Cache
from bankai_edge.image.partitions import Partition
from bankai_edge.image.programs import require, versions
from bankai_edge.image.recipes import FIRMWARE, Recipe

MANIFEST_VERSION = 1
MODEL_NAME = "model.gguf"
WORK_BYTES = 500 << 20  # root and packages, unpacked
STEPS = (
    "packages", "kernel", "root", "byte code", "compressed root", "model", "boot partition", "disk",
)  # fmt: skip
_PROGRAMS = ("apt-get", "dpkg-deb", "fdtget", "fdtput", "mcopy", "mkfs.erofs", "mkfs.vfat")


@dataclass(frozen=True)
class Order:
    """What to build. `store` is a folder as the agent's --store leaves it; it is the first one.

    `network` is the agent's option that lets UDP in, "require-signed" or "insecure", or "" for
    none. `keys` are public keys (PEM) that the device trusts. `kernel` replaces Debian's package.
    """

    recipe: Recipe
    model: Path
    store: Path
    wheel: Path
    out: Path
    ctx: int | None = None
    baud: int = 115200
    network: str = ""
    keys: tuple[Path, ...] = ()
    kernel: Path | None = None
    data_bytes: int = 0
    when: int | None = None  # SOURCE_DATE_EPOCH; None: the kernel package's own time


class Report(NamedTuple):
    """What was built. `manifest` rebuilds the same image when given as a lock."""

    image: Path
    sha256: str
    parts: tuple[Partition, ...]
    manifest: Path


def build(order: Order, cache: Cache, step: Callable[[str], None] = lambda name: None) -> Report:
    """Build the image; `step` is told the name (of STEPS) of each step as it begins.

    Raises BankaiError; `order.out` is then as it was.
    """
    check_order(order)
    folder = order.out.absolute().parent
    model_bytes = order.model.stat().st_size
    partitions.check_space(folder, WORK_BYTES + 3 * model_bytes)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".bankai-image-") as name:
        return _build(order, cache, step, Path(name))


def check_order(order: Order) -> None:
    """Raise BankaiError when a tool, the wheel or a place is missing, before anything is done."""
    require([*_PROGRAMS, "python3.11"])
    packages.check_wheel(order.wheel)
    for path in (order.model, *order.keys, *((order.kernel,) if order.kernel else ())):
        if not path.is_file():
            raise UsageError(f"there is no file {path}")
    if not order.out.absolute().parent.is_dir():
        raise UsageError(f"-o {order.out}: there is no folder {order.out.absolute().parent}")
    if order.out.is_dir():
        raise UsageError(f"-o {order.out} is a folder", expected="a file to write the image to")


def _build(order: Order, cache: Cache, step: Callable[[str], None], work: Path) -> Report:
    recipe = order.recipe
    step("packages")
    debs = dict(zip(rootfs.PACKAGES, cache.packages(rootfs.PACKAGES), strict=True))
    wheels = cache.wheels(order.wheel, "sign" if order.network == "require-signed" else "")
    firmware = cache.package(FIRMWARE) if recipe.firmware else None
    kernel_deb = order.kernel or _kernel_package(cache, recipe)

    step("kernel")
    late = (*recipe.late, *(recipe.network if order.network else ()))
    kernel = boot.read_kernel(kernel_deb, recipe, (*boot.FILESYSTEMS, *recipe.early, *late))
    when = kernel.built if order.when is None else order.when

    step("root")
    root = work / "root"
    root.mkdir()
    for name, deb in debs.items():
        rootfs.unpack(deb, root, rootfs.ONLY.get(name, ("*",)))
    for wheel in (*wheels, order.wheel):
        rootfs.add_wheel(wheel, root)
    rootfs.add_system(root, _config(order, when))
    boot.write_late(root / "lib/modules", kernel, late, recipe)
    _add_state(order, root / "etc/bankai")
    rootfs.check(root)

    step("byte code")
    rootfs.compile_python(root)
    rootfs.settle(root, when)

    step("compressed root")
    root_image = work / "root.erofs"
    partitions.make_erofs(root, root_image, when, compressed=True)

    step("model")
    model_image = work / "model.erofs"
    (work / "model").mkdir()
    shutil.copyfile(order.model, work / "model" / MODEL_NAME)
    rootfs.settle(work / "model", when)
    partitions.make_erofs(work / "model", model_image, when, compressed=False)

    step("boot partition")
    hashes = [sha256_of(path) for path in (root_image, model_image)]
    signature = hashlib.sha256(f"{recipe.board} {' '.join(hashes)}".encode()).hexdigest()[:8]
    files = work / "boot"
    files.mkdir()
    busybox = (root / "usr/bin/busybox").read_bytes()
    boot.write_boot(files, recipe, kernel, busybox, firmware, signature)
    boot_image = work / "boot.fat"
    partitions.make_fat(files, boot_image, when)

    step("disk")
    images = (boot_image, root_image, model_image)
    boot_bytes, root_bytes, model_bytes = (path.stat().st_size for path in images)
    parts = partitions.layout(boot_bytes, root_bytes, model_bytes, order.data_bytes)
    whole = work / "disk"
    partitions.assemble(whole, parts, images, signature)
    report = Report(
        order.out,
        sha256_of(whole),
        (replace(parts[0], used=rootfs.size_bytes(files.iterdir())), *parts[1:]),
        order.out.with_name(order.out.name + ".json"),
    )
    manifest = json.dumps(_manifest(order, cache, report, kernel.version, when), indent=1) + "\n"
    (work / "manifest").write_text(manifest, encoding="utf-8")
    cache.save()
    (work / "manifest").replace(report.manifest)
    whole.replace(order.out)
    return report


def _kernel_package(cache: Cache, recipe: Recipe) -> Path:
    name = packages.depends(cache.package(recipe.kernel), "linux-image-")
    suite = recipe.kernel.partition("/")[1:]
    return cache.package(name + "".join(suite))


def _config(order: Order, when: int) -> dict[str, str]:
    """What the device's scripts read."""
    return {
        "MODEL": MODEL_NAME,
        "UART": order.recipe.uart,
        "BAUD": str(order.baud),
        "CTX": "" if order.ctx is None else str(order.ctx),
        "UDP": order.network,
        "NAME": "bankai",
        "BUILT": str(when),
    }


def _add_state(order: Order, folder: Path) -> None:
    """The first store and the trusted keys."""
    shutil.copytree(order.store, folder / "store")
    if order.keys:
        (folder / "keys").mkdir()
        for key in order.keys:
            shutil.copyfile(key, folder / "keys" / key.name)


def _manifest(
    order: Order, cache: Cache, report: Report, kernel: str, when: int
) -> dict[str, Any]:  # fmt: skip
    recipe = order.recipe
    files: Sequence[Path] = [order.model, order.wheel, *order.keys]
    return {
        "version": MANIFEST_VERSION,
        "kind": "image",
        "board": recipe.board,
        "status": recipe.status,
        "sha256": report.sha256,
        "source_date_epoch": when,
        "kernel": kernel,
        "ctx": order.ctx,
        "network": order.network,
        "given": {path.name: sha256_of(path) for path in files},
        "patches": sorted(path.name for path in (order.store / "patches").iterdir()),
        "parts": [part.sizes() for part in report.parts],
        "tools": versions(),
        "lock": cache.used().as_json(),
    }
