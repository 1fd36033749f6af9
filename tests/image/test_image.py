"""Images: layout, parts, refusals with tiny inputs. tools/check/boot_image.py boots whole ones."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankai_edge import boards
from bankai_edge.cli.main import main
from bankai_edge.durable import sha256_of
from bankai_edge.errors import BankaiError, IncompatibleError, SignatureError, UsageError
from bankai_edge.image import boot, elf, packages, partitions, programs, rootfs
from bankai_edge.image.first_store import make_store
from bankai_edge.image.recipes import RECIPES, UART0, UART0_PINS, UART1, recipe_of
from bankai_edge.patch import decode, encode, keys
from bankai_edge.shipped import ARITH
from support import ROOT
from support.compilers import missing

MIB = 1 << 20
WHEN = 1_700_000_000


def need(*tools: str) -> None:
    """Skip, or fail in CI, without these build tools."""
    for tool in tools:
        if programs.find(tool) is None:
            missing(tool, f"apt-get install {programs.PACKAGES.get(tool, tool)}")


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    """A command's exit code and its one sentence."""
    with pytest.raises(SystemExit) as end:
        main([*map(str, words)])
    return int(end.value.code or 0), capsys.readouterr().err


# ---- the disk -----------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 3 << 30), min_size=3, max_size=3), st.integers(0, 1 << 30))
def test_partitions_are_aligned_apart_and_fill_a_power_of_two(sizes: list[int], data: int) -> None:
    parts = partitions.layout(*sizes, data)
    assert [part.name for part in parts] == list(partitions.NAMES)
    for part, used in zip(parts, [*sizes, max(data, partitions.LEAST_DATA)], strict=True):
        assert part.start % partitions.ALIGN == part.size % partitions.ALIGN == 0
        assert part.size >= used
    for one, other in pairwise(parts):
        assert one.start + one.size == other.start
    total = partitions.disk_size(parts)
    assert total & (total - 1) == 0
    assert total <= 2 * (parts[3].start + max(data, partitions.LEAST_DATA))


def test_the_table_is_read_back_and_understood_by_others(tmp_path: Path) -> None:
    parts = partitions.layout(70 * MIB, 50 * MIB, 3 * MIB)
    images = []
    for part in parts[:3]:
        images.append(tmp_path / part.name)
        images[-1].write_bytes(part.name.encode() * 1000 + bytes(3 * MIB) + b"end")
    card = tmp_path / "card"
    partitions.assemble(card, parts, images, "0badc0de")
    signature, found = partitions.read_table(card)
    assert signature == "0badc0de"
    assert [(p.start, p.size) for p in found] == [(p.start, p.size) for p in parts]
    assert card.stat().st_size == partitions.disk_size(parts)
    assert card.stat().st_blocks * 512 < 16 * MIB  # holes stay holes
    for part, image in zip(parts, images, strict=False):
        data = image.read_bytes()
        with card.open("rb") as file:
            file.seek(part.start)
            assert file.read(len(data)) == data
    sfdisk = shutil.which("sfdisk", path="/usr/sbin:/sbin:/usr/bin")
    if sfdisk:
        dump = subprocess.run([sfdisk, "--json", card], capture_output=True, text=True, check=True)
        table = json.loads(dump.stdout)["partitiontable"]
        assert table["id"] == "0x0badc0de"
        starts = [entry["start"] * 512 for entry in table["partitions"]]
        assert starts == [part.start for part in parts]


def test_what_is_no_image_is_said(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(512))
    with pytest.raises(BankaiError, match="no partition table"):
        partitions.read_table(tmp_path / "x")


def _folder(root: Path, names: list[str]) -> Path:
    root.mkdir(parents=True)
    for name in names:
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode() * 5000)
    return root


def test_settled_files_depend_on_no_umask(tmp_path: Path) -> None:
    for name, umask in (("open", 0o000), ("shut", 0o077)):
        before = os.umask(umask)
        try:
            folder = _folder(tmp_path / name, ["a", "sub/b"])
        finally:
            os.umask(before)
        rootfs.settle(folder, WHEN)
    for path in ("", "a", "sub", "sub/b"):
        one, other = ((tmp_path / name / path).stat() for name in ("open", "shut"))
        assert (one.st_mode, one.st_mtime) == (other.st_mode, other.st_mtime)


@pytest.mark.parametrize("kind", ["fat", "compressed", "plain"])
def test_file_systems_are_the_same_bytes_whenever_they_are_made(tmp_path: Path, kind: str) -> None:
    need("mkfs.vfat", "mcopy", "mkfs.erofs")
    names = [f"file{number}" for number in range(40)] + ["vmlinuz", "A-long-name.dtb"]
    images = []
    for which in (0, 1):
        # Other folders, another order of creation, other times.
        at = tmp_path / str(which)
        folder = _folder(at / "boot", names if which else names[::-1])
        os.utime(folder / "file3", (which * 1000, which * 1000))
        rootfs.settle(folder, WHEN)
        images.append(at / "image")
        if kind == "fat":
            partitions.make_fat(folder, images[-1], WHEN)
        else:
            partitions.make_erofs(folder, images[-1], WHEN, compressed=kind == "compressed")
    assert images[0].read_bytes() == images[1].read_bytes()


def test_without_room_nothing_is_begun(tmp_path: Path) -> None:
    with pytest.raises(BankaiError, match=r"MB free; expected \d+ MB for the image"):
        partitions.check_space(tmp_path, 1 << 60)


# ---- kernel, initramfs, device trees ------------------------------------------------------------


def _module(*needs: str) -> bytes:
    return b"\x7fELF...\0license=GPL\0depends=" + ",".join(needs).encode() + b"\0name=x\0"


def test_modules_come_after_what_they_need() -> None:
    modules = {
        "ext4": _module("mbcache", "jbd2"), "jbd2": _module(), "mbcache": _module(),
        "virtio-blk": _module("virtio_core"), "virtio-core": _module(), "unused": _module(),
    }  # fmt: skip
    order = boot.load_order(["virtio_blk", "ext4", "erofs"], modules, {"erofs"}, "qemu-virt")
    assert order == ["virtio-core", "virtio-blk", "mbcache", "jbd2", "ext4"]


def test_a_kernel_without_the_cards_driver_is_refused_by_name() -> None:
    with pytest.raises(IncompatibleError, match="no driver sdhci-brcmstb, and rpi5"):
        boot.load_order(["sdhci-brcmstb"], {}, set(), "rpi5")


def _unpack_cpio(data: bytes) -> Mapping[str, tuple[int, bytes]]:
    found, at = {}, 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        at = (at + 110 + fields[11] + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], data[at : at + fields[6]])
        at = (at + fields[6] + 3) & ~3


def test_the_initramfs_holds_what_was_put_in() -> None:
    files = {"init": (0o755, b"#!"), "a/b": (0o644, b"12345"), "empty": (0o644, b"")}
    data = boot.cpio(["a", "dev"], files)
    assert _unpack_cpio(data) == {
        "a": (0o040755, b""), "dev": (0o040755, b""), "init": (0o100755, b"#!"),
        "a/b": (0o100644, b"12345"), "empty": (0o100644, b""),
    }  # fmt: skip
    one = boot.initramfs(b"busybox", {"erofs": b"module"})
    assert one == boot.initramfs(b"busybox", {"erofs": b"module"})


TREE = """/dts-v1/;
/ {
  aliases { serial0 = "/soc/serial@7e201000"; };
  chosen { stdout-path = "serial1:115200n8"; };
  soc {
    gpio@7e200000 { pins14: uart0_gpio14 { brcm,pins = <14 15>; };
                    pins32: uart0_gpio32 { phandle = <9>; }; };
    serial@7e201000 { pinctrl-0 = <9>; pinctrl-names = "default"; bluetooth { }; };
    serial@7e215040 { pinctrl-0 = <9>; pinctrl-names = "default"; status = "okay"; };
  };
};
"""


def test_the_pl011_is_freed_from_bluetooth_and_led_to_the_header(tmp_path: Path) -> None:
    need("fdtput", "fdtget", "dtc")
    tree = tmp_path / "x.dtb"
    subprocess.run(["dtc", "-q", "-o", tree, "-"], input=TREE, text=True, check=True)
    boot.free_pl011(tree)

    def get(node: str, name: str) -> str:
        return programs.run("fdtget", "-t", "x", "-d", "none", tree, node, name).strip()

    assert "bluetooth" not in programs.run("fdtget", "-l", tree, UART0)
    assert get(UART0, "pinctrl-0") == get(UART0_PINS, "phandle") not in ("none", "9")
    assert get(UART1, "pinctrl-0") == get(UART1, "pinctrl-names") == "none"
    assert get("/chosen", "stdout-path") == "none"


def test_the_kernels_words_stay_off_the_agents_uart() -> None:
    for recipe in map(recipe_of, RECIPES):
        line = boot.command_line(recipe, "00000001")
        assert recipe.uart and f"console={recipe.uart}" not in line
        assert "console=" in line and "bankai.disk=00000001" in line


def test_every_board_with_files_for_an_image_has_a_recipe() -> None:
    assert {board.id for board in boards.boards() if board.image} == set(RECIPES)
    for name in RECIPES:
        assert recipe_of(name).kernel.startswith("linux-image-arm64")
    for name in ("pico", "x86-64", "pdp11"):
        with pytest.raises(UsageError, match=f"no image is known for the board '{name}'"):
            recipe_of(name)


# ---- the root -----------------------------------------------------------------------------------


def _deb(tmp_path: Path, files: dict[str, str], name: str = "tiny") -> Path:
    need("dpkg-deb")
    tree = tmp_path / f"{name}-tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1:2.0-3\nArchitecture: arm64\nMaintainer: none\n"
        "Depends: libc6, linux-image-9.9-arm64 (= 9.9-1)\nDescription: none\n"
    )
    for path, text in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    deb = tmp_path / f"{name}_2.0-3_arm64.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, deb], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    return deb


def test_packages_are_unpacked_under_merged_usr_without_their_papers(tmp_path: Path) -> None:
    deb = _deb(tmp_path, {
        "bin/tool": "x", "usr/lib/a.so": "y", "usr/share/doc/tiny/copyright": "whose",
        "usr/share/doc/tiny/NEWS": "z", "usr/share/man/man1/tool.1": "z",
    })  # fmt: skip
    root = tmp_path / "root"
    rootfs.unpack(deb, root)
    found = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
    assert found == ["usr/bin/tool", "usr/lib/a.so", "usr/share/doc/tiny/copyright"]
    assert packages.depends(deb, "linux-image-") == "linux-image-9.9-arm64"
    with pytest.raises(BankaiError, match="depends on no nothing"):
        packages.depends(deb, "nothing")


@pytest.mark.parametrize("name", ["../out", "./../../etc/passwd", "/etc/passwd", "a/../../b"])
def test_no_package_writes_outside_the_root(name: str) -> None:
    with pytest.raises(BankaiError, match="leads out"):
        rootfs.merged(name)


def test_no_wheel_writes_outside_the_root(tmp_path: Path) -> None:
    wheel = tmp_path / "evil.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("../../etc/passwd", "x")
    with pytest.raises(BankaiError, match="leads out"):
        rootfs.add_wheel(wheel, tmp_path / "root")


def test_a_cut_off_package_is_a_sentence(tmp_path: Path) -> None:
    deb = _deb(tmp_path, {"usr/bin/tool": "x" * 100_000})
    deb.write_bytes(deb.read_bytes()[:-200])
    with pytest.raises(BankaiError, match=r"tiny_2\.0-3_arm64\.deb cannot be unpacked"):
        rootfs.unpack(deb, tmp_path / "root")


def _elf(machine: int = elf.MACHINE_AARCH64, needs: tuple[str, ...] = ("libc.so.6",)) -> bytes:
    """One loaded segment at 0x1000 that holds all, and the dynamic section within it."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in needs)
    entries, at = [], 1
    for name in needs:
        entries.append((1, at))
        at += len(name) + 1
    dynamic_at, names_at = 64 + 2 * 56, 64 + 2 * 56 + 16 * (len(needs) + 2)
    dynamic = b"".join(struct.pack("<qQ", *e) for e in [*entries, (5, 0x1000 + names_at), (0, 0)])
    size = names_at + len(names)
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )  # fmt: skip
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x1000, 0x1000, size, size, 0x1000)
    dyn = struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, 0, 0, len(dynamic), len(dynamic), 8)
    return header + load + dyn + dynamic + names


def test_a_missing_library_and_a_foreign_one_are_found(tmp_path: Path) -> None:
    assert elf.needed(_elf(needs=("libm.so.6", "libc.so.6")), "x") == ["libm.so.6", "libc.so.6"]
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/a.so").write_bytes(_elf(needs=("libfar.so.1", "a.so")))
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert rootfs.missing_libraries(tmp_path) == {"libfar.so.1": ["lib/a.so"]}
    (tmp_path / "lib/b.so").write_bytes(_elf(machine=62))
    with pytest.raises(BankaiError, match=r"lib/b\.so is for ELF machine 62, not 183"):
        rootfs.missing_libraries(tmp_path)


def test_no_elf_file_however_cut_or_spoiled_is_more_than_refused() -> None:
    whole = _elf()
    for length in range(len(whole)):
        with contextlib.suppress(ValueError):
            elf.needed(whole[:length], "x")
    for at in range(len(whole)):
        for value in (0, 0x7F, 0xFF):
            with contextlib.suppress(ValueError):
                elf.needed(whole[:at] + bytes([value]) + whole[at + 1 :], "x")


def test_the_scripts_on_the_device_are_valid_shell() -> None:
    for script in ("init", "start", "agent", "serve", "lease"):
        text = (rootfs.CARD / script).read_text().replace("#!/bin/busybox sh", "#!/bin/sh")
        done = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr


def test_no_account_can_log_in_and_nothing_listens_unasked(tmp_path: Path) -> None:
    rootfs.add_system(tmp_path, {"UDP": "", "MODEL": "it's"})
    accounts = (tmp_path / "etc/passwd").read_text().splitlines()
    assert all(line.split(":")[1] == "*" and line.endswith("/bin/false") for line in accounts)
    started = (tmp_path / "etc/inittab").read_text()
    assert "getty" not in started and "login" not in started and "askfirst" not in started
    config = tmp_path / "etc/bankai/config"
    said = subprocess.run(["sh", "-c", f'. {config}; echo "$MODEL/$UDP"'], capture_output=True)
    assert said.stdout == b"it's/\n"


# ---- packages -----------------------------------------------------------------------------------


def _fake(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_missing_tools_are_named_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "_SBIN", ())
    with pytest.raises(BankaiError) as caught:
        programs.require(["mkfs.erofs", "mcopy", "mmd"])
    assert "mkfs.erofs, mcopy, mmd" in str(caught.value)
    assert "apt-get install erofs-utils mtools" in str(caught.value)


def test_the_page_names_every_tool_that_has_to_be_installed() -> None:
    page = (ROOT / "docs/image.md").read_text()
    line = next(line for line in page.splitlines() if "apt-get install" in line)
    always_there = {"apt", "dpkg", "python3.11-minimal"}
    assert set(line.split()[2:]) == set(programs.PACKAGES.values()) - always_there


def test_the_hosts_sources_become_the_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listed = (
        "http://a/debian/ bookworm main /k.gpg\\nhttp://a/debian/ bookworm-updates main $(S)\\n"
        "http://b/x stable main /o.gpg\\nhttp://c/security bookworm-security main /k.gpg\\n"
    )
    _fake(tmp_path, "apt-get", f"printf '{listed}'")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    lines = packages.host_sources().splitlines()
    assert "deb [signed-by=/k.gpg] http://a/debian/ bookworm main non-free-firmware" in lines
    assert "deb http://a/debian/ bookworm-updates main non-free-firmware" in lines
    assert any("bookworm-backports" in line for line in lines)
    assert not any("http://b" in line for line in lines)
    _fake(tmp_path, "apt-get", "printf 'http://b/x trixie main /k.gpg\\n'")
    with pytest.raises(BankaiError, match=r"no source of Debian 12.*--sources FILE"):
        packages.host_sources()


def _offline(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    _fake(folder, "apt-get", "echo 'E: no network' >&2; exit 100")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_what_is_in_the_cache_asks_no_network_and_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deb = _deb(tmp_path, {"usr/bin/tool": "x"})
    cache = tmp_path / "cache"
    (cache / "debs").mkdir(parents=True)
    shutil.copy(deb, cache / "debs")
    one = packages.Fetched("tiny", "1:2.0-3", deb.name, sha256_of(deb))
    lock = packages.Lock({"tiny": one}, {"cbor2": (one,)})
    assert packages.Lock.from_json(json.loads(json.dumps(lock.as_json()))) == lock
    (cache / packages.LOCK).write_text(json.dumps(lock.as_json()))
    _offline(monkeypatch, tmp_path / "bin")
    assert packages.Cache(cache).package("tiny") == cache / "debs" / deb.name
    (cache / "debs" / deb.name).write_bytes(b"other bytes")
    with pytest.raises(BankaiError, match="apt-get failed with status 100: E: no network"):
        packages.Cache(cache).package("tiny")


def test_a_manifest_allows_nothing_that_it_does_not_name(tmp_path: Path) -> None:
    manifest = tmp_path / "sd.img.json"
    manifest.write_text(json.dumps({"lock": packages.Lock().as_json()}))
    with pytest.raises(IncompatibleError, match="does not name the package busybox-static"):
        packages.Cache(tmp_path / "cache", locked=manifest).package("busybox-static")
    said: list[str] = []
    fields = {"lock": packages.Lock().as_json(), "tools": {"python": "3.11.0rc1"}}
    manifest.write_text(json.dumps(fields))
    packages.Cache(tmp_path / "cache", locked=manifest, say=said.append)
    assert "other build tools" in said[0] and "3.11.0rc1" in said[0]
    for nothing in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(BankaiError, match="not the manifest of an image"):
            packages.Cache(tmp_path / "cache", locked=nothing)
    manifest.write_text("{}")
    with pytest.raises(BankaiError, match="not the manifest of an image"):
        packages.Cache(tmp_path / "cache", locked=manifest)


@pytest.mark.parametrize(
    "name",
    [
        "bankai_edge-0.1.0-cp311-cp311-linux_x86_64.whl",
        "bankai_edge-0.1.0-cp313-cp313-manylinux_2_28_aarch64.whl",
        "numpy-2.0-cp311-cp311-manylinux_2_28_aarch64.whl",
        "bankai_edge.whl",
    ],
)
def test_a_wheel_for_something_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(IncompatibleError, match="another machine, Python or package"):
        packages.check_wheel(tmp_path / name)


def test_wheels_for_the_device_are_taken(tmp_path: Path) -> None:
    for tag in ("cp311-cp311-manylinux_2_17_aarch64", "cp311-abi3-manylinux_2_28_aarch64"):
        path = tmp_path / f"bankai_edge-0.1.0-{tag}.whl"
        path.write_bytes(b"")
        packages.check_wheel(path)


# ---- the command --------------------------------------------------------------------------------


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """By name the right wheel."""
    path = tmp_path / "bankai_edge-0.1.0-cp311-cp311-manylinux_2_17_aarch64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bankai_edge-0.1.0.dist-info/METADATA", "Name: bankai-edge\n\n")
    return path


def test_refusals_are_a_sentence_and_a_code(
    capsys: pytest.CaptureFixture[str], nano_path: Path, wheel: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    need("mkfs.erofs", "mkfs.vfat", "mcopy", "fdtput", "dpkg-deb", "apt-get", "python3.11")
    out = tmp_path / "sd.img"
    out.write_bytes(b"an older image")
    build = ["image", "build", "--model", nano_path, "-o", out]
    code, said = refused(capsys, *build, "--board", "pdp11", "--wheel", wheel)
    assert code == 2 and "'pdp11'" in said and "qemu-virt, rpi3" in said
    code, said = refused(capsys, *build, "--board", "rpi3", "--wheel", tmp_path / "no.whl")
    assert code == 1 and "there is no wheel" in said
    code, said = refused(capsys, *build, "--board", "rpi3", "--wheel", wheel, "--ram", "3GiB")
    assert code == 2 and "rpi3 with 3 GiB of RAM" in said
    code, said = refused(capsys, *build, "--board", "rpi3", "--wheel", wheel, "--patches", wheel)
    assert code == 2 and "is not a folder" in said
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    code, said = refused(capsys, *build, "--board", "rpi3", "--wheel", wheel)
    assert code == 2 and "expected seconds since 1970" in said
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    insecure = ["--insecure", "--trust", wheel]
    code, said = refused(capsys, *build, "--board", "rpi3", "--wheel", wheel, *insecure)
    assert code == 2 and "contradict" in said
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))
    code, said = refused(capsys, *build, "--board", "rpi3", "--wheel", wheel)
    assert code == 1 and "0 MB free" in said
    assert out.read_bytes() == b"an older image"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_model_too_large_for_the_board_is_refused_with_both_figures(
    capsys: pytest.CaptureFixture[str], nano_path: Path, wheel: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    board = boards.find("rpi3")
    assert board.memory is not None
    tiny = replace(board, memory=replace(board.memory, ram=(200 * MIB,)))
    monkeypatch.setattr(boards, "find", lambda name: tiny)
    words = ["--board", "rpi3", "--model", nano_path, "-o", tmp_path / "sd.img", "--wheel", wheel]
    code, said = refused(capsys, "image", "build", *words)
    assert code == 4 and "needs" in said and "at a context of 256 tokens" in said
    assert "200 MiB" in said


def test_the_first_store_is_what_an_agent_makes_of_the_patches(
    tmp_path: Path, nano_path: Path
) -> None:
    from bankai_edge.agent.store import Store

    folder = tmp_path / "patches"
    folder.mkdir()
    shutil.copy(ARITH, folder / "any-name.bkp")
    seen = []
    for which in ("one", "two"):
        place = tmp_path / which / "store"
        place.parent.mkdir()
        make_store(place, nano_path, folder, ("arith",), ())
        files = sorted(path for path in place.rglob("*") if path.is_file())
        seen.append({str(path.relative_to(place)): path.read_bytes() for path in files})
    assert seen[0] == seen[1]
    store = Store(tmp_path / "one/store")
    assert store.names() == ["arith"]
    assert [member.name for member in store.journal.active] == ["arith"]
    store.close()


def test_patches_that_are_not_for_the_model_stop_the_build(tmp_path: Path, nano_path: Path) -> None:
    folder = tmp_path / "patches"
    folder.mkdir()
    foreign = replace(decode(ARITH.read_bytes()), model_id=bytes(32))
    (folder / "foreign.bkp").write_bytes(encode(foreign))
    with pytest.raises(IncompatibleError, match="arith is not for this image: made for 00000000"):
        make_store(tmp_path / "store", nano_path, folder, (), ())
    with pytest.raises(IncompatibleError, match="absent is not for this image"):
        make_store(tmp_path / "store2", nano_path, None, ("absent",), ())


def test_a_device_that_wants_signatures_begins_with_signed_patches(
    tmp_path: Path, nano_path: Path
) -> None:
    pytest.importorskip("cryptography")
    _, public = keys.new(tmp_path / "keys", "me")
    folder = tmp_path / "patches"
    folder.mkdir()
    shutil.copy(ARITH, folder)
    with pytest.raises(SignatureError, match="arith is not for this image"):
        make_store(tmp_path / "store", nano_path, folder, (), (public,))
