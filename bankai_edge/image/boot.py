"""The boot partition's files: kernel, device trees, initramfs, and what the board's firmware reads.

The device trees are Debian's, changed here with fdtput (they carry no symbols, so the firmware's
overlays do not apply): the PL011 is taken from Bluetooth and given pins 14 and 15.
"""

from __future__ import annotations

import fnmatch
import gzip
import lzma
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bankai_edge.errors import BankaiError, IncompatibleError
from bankai_edge.image.packages import members
from bankai_edge.image.programs import run
from bankai_edge.image.recipes import UART0, UART0_PINS, UART1, Recipe
from bankai_edge.image.rootfs import CARD

# What every board needs to mount its partitions. The checksum is first: others look it up by name.
FILESYSTEMS = ("crc32c_generic", "erofs", "ext4")
FIRMWARE_LICENCE = "usr/share/doc/raspi-firmware/copyright"
_FREE_PHANDLE = 0x7E20  # above what dtc gives out
_MODULE = re.compile(r"lib/modules/([^/]+)/kernel/(?:.*/)?([^/]+)\.ko(\.xz)?")


@dataclass(frozen=True)
class Kernel:
    """What an image takes of a kernel package. `modules` by name, in an order that loads."""

    version: str
    built: int  # when, in seconds since 1970: the package's own time
    image: bytes
    device_trees: Mapping[str, bytes]
    modules: Mapping[str, bytes]
    built_in: frozenset[str] = frozenset()


def read_kernel(deb: Path, recipe: Recipe, wanted: Sequence[str]) -> Kernel:
    """A kernel package's image, the recipe's device trees, and the modules with their needs.

    `wanted` are modules that must be there or built in. Raises IncompatibleError, naming the
    driver, when one is neither.
    """
    image, version, built, built_in = b"", "", 0, set[str]()
    trees: dict[str, bytes] = {}
    modules: dict[str, bytes] = {}
    for entry, content in members(deb):
        path = entry.name.removeprefix("./").removeprefix("usr/lib/modules/")
        if content is None:
            continue
        found = _MODULE.fullmatch(entry.name.removeprefix("./").removeprefix("usr/"))
        if found:
            data = content.read()
            modules[_dashed(found[2])] = lzma.decompress(data) if found[3] else data
        elif fnmatch.fnmatchcase(path, "boot/vmlinuz-*"):
            version, built, image = path.partition("-")[2], int(entry.mtime), content.read()
        elif path.endswith("/modules.builtin"):
            names = content.read().decode().splitlines()
            built_in = {_dashed(Path(name).name.partition(".ko")[0]) for name in names}
        else:
            for tree in recipe.device_trees:
                if path.endswith(f"/{tree}"):
                    trees[tree] = content.read()
    if not image:
        raise IncompatibleError(f"{deb.name} holds no kernel", expected="boot/vmlinuz-*")
    for tree in recipe.device_trees:
        if tree not in trees:
            raise IncompatibleError(f"{deb.name} has no device tree {tree} for {recipe.board}")
    loaded = {name: modules[name] for name in load_order(wanted, modules, built_in, recipe.board)}
    return Kernel(version, built, image, trees, loaded, frozenset(built_in))


def load_order(
    wanted: Iterable[str], modules: Mapping[str, bytes], built_in: Collection[str], board: str
) -> list[str]:
    """Module names in an order in which each finds what it depends on.

    Raises IncompatibleError for one that the kernel has neither as a module nor built in.
    """
    order: list[str] = []

    def visit(name: str) -> None:
        name = _dashed(name)
        if name in order or name in built_in:
            return
        if name not in modules:
            raise IncompatibleError(
                f"this kernel has no driver {name}, and {board} does not start without it",
                next_step="Give a kernel package that has it with --kernel FILE.deb.",
            )
        for other in depends(modules[name]):
            visit(other)
        order.append(name)

    for name in wanted:
        visit(name)
    return order


def depends(module: bytes) -> list[str]:
    """The modules that a module's own `depends=` names."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    return [name for name in found[1].decode().split(",") if name] if found else []


def _dashed(name: str) -> str:
    """One spelling: file names, dependencies and people mix - and _."""
    return name.replace("_", "-")


# ---- the initramfs ------------------------------------------------------------------------------


def initramfs(busybox: bytes, modules: Mapping[str, bytes]) -> bytes:
    """A gzipped cpio archive: busybox, the script in device/init, modules and their order."""
    listed = "".join(f"{name}.ko\n" for name in modules)
    files = {
        "bin/busybox": (0o755, busybox),
        "init": (0o755, (CARD / "init").read_bytes()),
        "modules/list": (0o644, listed.encode()),
        **{f"modules/{name}.ko": (0o644, data) for name, data in modules.items()},
    }
    folders = ("bin", "dev", "modules", "proc", "root", "run", "sys")
    return gzip.compress(cpio(folders, files), 9, mtime=0)


def cpio(folders: Iterable[str], files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """An archive in the kernel's "newc" form, owned by root, without times.

    The form is that of Documentation/driver-api/early-userspace/buffer-format.rst.
    """
    entries = [(name, 0o040755, b"") for name in folders]
    entries += [(name, 0o100000 | mode, data) for name, (mode, data) in sorted(files.items())]
    archive = bytearray()
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        links = 1 if mode else 0
        fields = (number, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        archive += b"070701" + b"".join(b"%08X" % field for field in fields)
        archive += name.encode() + b"\0"
        archive += bytes(-len(archive) % 4) + data
        archive += bytes(-len(archive) % 4)
    return bytes(archive)


# ---- device trees and the firmware's files ------------------------------------------------------


def free_pl011(tree: Path) -> None:
    """Give the PL011 to the header's pins 14 and 15, and the mini-UART none.

    The same as the firmware's overlay disable-bt, done to the tree itself. The mini-UART stays
    enabled: it disturbs nobody without pins, and an emulator shows the kernel's words there.
    """
    run("fdtput", "-r", tree, f"{UART0}/bluetooth")
    phandle = run("fdtget", "-t", "x", "-d", "none", tree, UART0_PINS, "phandle").strip()
    if phandle == "none":
        phandle = f"{_FREE_PHANDLE:x}"
        run("fdtput", "-t", "x", tree, UART0_PINS, "phandle", phandle)
    run("fdtput", "-t", "x", tree, UART0, "pinctrl-0", phandle)
    run("fdtput", "-d", tree, UART1, "pinctrl-0")
    run("fdtput", "-d", tree, UART1, "pinctrl-names")
    run("fdtput", "-d", tree, "/chosen", "stdout-path")


def command_line(recipe: Recipe, signature: str) -> str:
    """The kernel's command line; its words go to no UART that the agent uses."""
    consoles = " ".join(f"console={name}" for name in recipe.console)
    return f"{consoles} bankai.disk={signature} panic=10 quiet loglevel=4"


def write_boot(
    folder: Path, recipe: Recipe, kernel: Kernel, busybox: bytes, firmware: Path | None,
    signature: str,
) -> None:  # fmt: skip
    """Fill `folder` with the boot partition's files; raises BankaiError.

    `firmware` is the package raspi-firmware, for boards whose recipe names files of it.
    """
    wanted = (*FILESYSTEMS, *recipe.early)
    early = load_order(wanted, kernel.modules, kernel.built_in, recipe.board)
    (folder / "vmlinuz").write_bytes(kernel.image)
    (folder / "initramfs.gz").write_bytes(
        initramfs(busybox, {name: kernel.modules[name] for name in early})
    )
    (folder / "cmdline.txt").write_text(command_line(recipe, signature) + "\n")
    for name, data in kernel.device_trees.items():
        tree = folder / Path(name).name
        tree.write_bytes(data)
        if recipe.free_pl011:
            free_pl011(tree)
    if recipe.config_txt:
        lines = list(recipe.config_txt)
        if len(recipe.device_trees) == 1:  # else the firmware chooses by the model it runs on
            lines.append(f"device_tree={Path(recipe.device_trees[0]).name}")
        (folder / "config.txt").write_text("\n".join(lines) + "\n")
    if recipe.firmware:
        assert firmware is not None
        files = {f"usr/lib/raspi-firmware/{name}": name for name in recipe.firmware}
        _take(firmware, {**files, FIRMWARE_LICENCE: "LICENCE.txt"}, folder)


def write_late(folder: Path, kernel: Kernel, late: Sequence[str], recipe: Recipe) -> None:
    """Modules that are loaded once the agent starts, into the root's `folder`, and their order."""
    folder.mkdir(parents=True)
    early = load_order((*FILESYSTEMS, *recipe.early), kernel.modules, kernel.built_in, recipe.board)
    names = load_order(late, kernel.modules, kernel.built_in, recipe.board)
    for name in names:
        (folder / f"{name}.ko").write_bytes(kernel.modules[name])
    listed = "".join(f"{name}.ko\n" for name in names if name not in early)
    (folder / "list").write_text(listed)


def _take(deb: Path, wanted: Mapping[str, str], folder: Path) -> None:
    """Copy files of a package: path in it, name in `folder`."""
    left = dict(wanted)
    for entry, content in members(deb):
        name = left.pop(entry.name.removeprefix("./"), None)
        if content is not None and name is not None:
            (folder / name).write_bytes(content.read())
    if left:
        raise BankaiError(f"{deb.name} has no {', '.join(sorted(left))}")
