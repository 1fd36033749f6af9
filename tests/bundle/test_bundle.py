"""Bundles: the same bytes from the same inputs, nothing unchecked, nothing changed by a refusal."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bankai_edge import ed25519
from bankai_edge.bundle import container, wheels
from bankai_edge.bundle.container import Bundle, Signature, part_of
from bankai_edge.bundle.install import Installed, Target, install, rollback
from bankai_edge.bundle.make import make, read_patches
from bankai_edge.bundle.manifest import MANIFEST, SIGNATURE
from bankai_edge.bundle.versions import PREFIX, STORE, Versions
from bankai_edge.durable import Disk
from bankai_edge.errors import BankaiError, IncompatibleError, SignatureError, UsageError
from bankai_edge.patch.keys import public_pem
from bankai_edge.shipped import ARITH, NANO
from support.agents import bankai
from support.bundles import BOARD, MACHINE, PYTHON, tiny, tiny_wheel, write_wheel

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
STEP = 151  # bytes between two that are tampered with, apart from every header's


class QuickDisk(Disk):
    """Without waiting for the medium: power cuts are test_install_cut's."""

    def sync_all(self) -> None:
        pass


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / STORE).mkdir(parents=True)
    (root / STORE / "mine").write_bytes(b"a person's")
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    make(folder / "plain.bkb", tiny(folder, "plain", model=b"a small model"))
    return folder / "plain.bkb"


@pytest.fixture(scope="module")
def signed(folder: Path) -> Path:
    contents = tiny(folder, "signed", model=b"a small model", keys={"site": public(KEY)})
    make(folder / "signed.bkb", contents, KEY)
    return folder / "signed.bkb"


def put(bundle: Path, root: Path, disk: Disk | None = None, **given: Any) -> Installed:
    target = given.pop("target", None) or Target.here(root)
    with Bundle(bundle) as opened:
        return install(opened, target, disk=disk or QuickDisk(), **given)


def listing(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


def said(root: Path) -> str:
    """What the command of the version that is run says."""
    program = root / PREFIX / "current/bin/bankai-edge"
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout.strip()


# ---- the file -----------------------------------------------------------------------------------


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        home = tmp_path / name
        home.mkdir()
        contents = tiny(home, "x", model=b"a model", patches=[_arith(home)])
        os.utime(contents.model, (1e9, 1e9 + len(made)))
        make(home / "site.bkb", contents, KEY)
        made.append((home / "site.bkb").read_bytes())
    assert made[0] == made[1]


def _arith(folder: Path) -> Path:
    path = folder / "some-file.bkp"
    shutil.copy(ARITH, path)
    return path


def test_unzip_the_shell_and_python_read_it(signed: Path) -> None:
    with zipfile.ZipFile(signed) as archive, Bundle(signed) as bundle:
        assert archive.testzip() is None
        own = [member.path for member in bundle.manifest.files]
        assert archive.namelist() == [MANIFEST, SIGNATURE, *own]
        assert own[-1].startswith("model/"), "the large file is last"
        for member in bundle.manifest.files:
            assert archive.read(member.path) == bundle.read(member.path)
    for command in (["sh"], [sys.executable], [sys.executable, "-I", "-S"]):
        done = subprocess.run(
            [*command, signed, "--inspect"], capture_output=True, text=True, cwd="/"
        )
        assert done.returncode == 0, done.stderr
        assert f"signed by  {public(KEY).hex()}" in done.stdout


def test_the_installer_needs_nothing_but_the_standard_library(plain: Path, root: Path) -> None:
    """-I and -S: neither this environment's packages nor its paths."""
    command = [sys.executable, "-I", "-S", plain, "--root", root]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert said(root) == "plain"


def test_inspect(signed: Path, tmp_path: Path) -> None:
    (tmp_path / "site.pub").write_bytes(public_pem(public(KEY)))
    (tmp_path / "other.pub").write_bytes(public_pem(public(OTHER)))
    done = bankai("image", "inspect", signed, "--key", tmp_path / "site.pub", "--json")
    shown = json.loads(done.stdout)
    assert (shown["board"], shown["machine"], shown["policy"]) == (BOARD, MACHINE, "open")
    assert shown["signed_by"] == public(KEY).hex() and shown["keys"] == ["keys/site.pub"]
    assert shown["bytes"] == signed.stat().st_size
    assert {key: shown["files"][-1][key] for key in ("path", "bytes")} == {
        "path": "model/model.gguf",
        "bytes": 13,
    }
    assert "a small" not in bankai("image", "inspect", signed).stdout
    done = bankai("image", "inspect", signed, "--key", tmp_path / "other.pub")
    assert done.returncode == 5 and public(OTHER).hex()[:16] in done.stderr


def read_whole(path: Path) -> None:
    with Bundle(path) as bundle:
        bundle.check()


def test_no_byte_can_be_changed(plain: Path, signed: Path, tmp_path: Path) -> None:
    """In headers most bytes, elsewhere one in STEP; whatever is changed, it is refused."""
    data = bytearray(plain.read_bytes())
    read_whole(plain)
    rng, path = random.Random(1), tmp_path / "tampered.bkb"

    def refused(data: bytearray, at: int) -> None:
        was = data[at]
        data[at] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        with pytest.raises((IncompatibleError, SignatureError)):
            read_whole(path)
        data[at] = was

    structure = set(range(400))
    for mark in (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"):
        at = data.find(mark)
        while at >= 0:
            structure |= set(range(at, min(at + 64, len(data)), 5))
            at = data.find(mark, at + 1)
    for at in sorted(structure | set(range(0, len(data), STEP)) | {len(data) - 1}):
        refused(data, at)
    data = bytearray(signed.read_bytes())
    read_whole(signed)
    for at in range(0, data.index(b"__main__.py"), 19):  # the manifest and its signature
        refused(data, at)


def test_no_byte_can_be_missing_or_added(plain: Path, tmp_path: Path) -> None:
    data, path = plain.read_bytes(), tmp_path / "cut.bkb"
    for size in [*range(0, 2000, 37), *range(2000, len(data), 997), len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(IncompatibleError):
            read_whole(path)
    path.write_bytes(data + b"x")
    with pytest.raises(IncompatibleError, match="1 bytes follow its end"):
        read_whole(path)


def test_a_refused_bundle_changes_nothing(plain: Path, root: Path, tmp_path: Path) -> None:
    before, data = listing(root), bytearray(plain.read_bytes())
    data[len(data) // 2] ^= 4
    for name, content in (("flip", bytes(data)), ("cut", bytes(data[:-40])), ("no", b"PK" * 99)):
        path = tmp_path / f"{name}.bkb"
        path.write_bytes(content)
        for command in (["image", "install", path, "--root", root], ["image", "inspect", path]):
            done = bankai(*command)
            assert done.returncode == 4, done.stderr
            *progress, error = done.stderr.strip().splitlines()
            assert error.startswith("bankai-edge: ") and "bankai-edge: " not in "".join(progress)
    assert listing(root) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields | {"format": 2},
        lambda fields: fields | {"policy": "anything"},
        lambda fields: fields | {"glibc": -1},
        lambda fields: fields | {"patches": ["patches/none.bkp"]},
        lambda fields: fields | {"files": [["../../etc/passwd", 1, "0" * 64]]},
        lambda fields: fields | {"files": fields["files"] + fields["files"][:1]},
        lambda fields: {key: value for key, value in fields.items() if key != "keys"},
        lambda fields: fields | {"more": 1},
        lambda fields: [],
    ],
)
def test_a_manifest_says_only_what_it_may(
    change: Callable[[dict[str, Any]], Any], plain: Path, tmp_path: Path
) -> None:
    with Bundle(plain) as bundle:
        fields = change(json.loads(bundle.manifest.encode()))
    encoded = json.dumps(fields, indent=1, sort_keys=True).encode() + b"\n"
    with (tmp_path / "odd.bkb").open("wb") as file:
        container.write(file, [part_of(MANIFEST, encoded)])
    with pytest.raises(IncompatibleError):
        Bundle(tmp_path / "odd.bkb")


# ---- signatures ---------------------------------------------------------------------------------


def test_ed25519_agrees_with_the_library() -> None:
    rng = random.Random(3)
    for n in range(24):
        key = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
        message = rng.randbytes(n * 5)
        good = key.sign(message)
        bad = bytearray(good)
        bad[rng.randrange(64)] ^= 1 << rng.randrange(8)
        for signature, about in ((good, message), (bytes(bad), message), (good, message + b"x")):
            try:
                key.public_key().verify(signature, about)
                fits = True
            except InvalidSignature:
                fits = False
            assert ed25519.verify(public(key), signature, about) == fits
    high = good[:32] + (int.from_bytes(good[32:], "little") + ed25519._ORDER).to_bytes(32, "little")
    assert not ed25519.verify(public(key), high, message), "one signature has one form"
    assert not ed25519.verify(b"\xff" * 32, good, message) and not ed25519.verify(b"", good, b"")


def test_whose_bundles_a_device_takes(plain: Path, signed: Path, root: Path, folder: Path) -> None:
    with pytest.raises(SignatureError, match="not signed; expected the signature of 03a107bff3ce"):
        put(plain, root, key=public(KEY))
    with pytest.raises(SignatureError, match="signed by 03a107bff3ce"):
        put(signed, root, key=public(OTHER))
    assert not (root / PREFIX).exists()
    put(plain, root)
    put(signed, root, key=public(KEY))  # which brings its key along
    with pytest.raises(SignatureError, match="not signed"):
        put(plain, root)
    assert not put(signed, root).changed
    make(folder / "stranger.bkb", tiny(folder, "stranger"), OTHER)
    with pytest.raises(SignatureError, match="expected the signature of 03a107bff3ce"):
        put(folder / "stranger.bkb", root)
    put(folder / "stranger.bkb", root, key=public(OTHER))  # asked for by name
    assert said(root) == "stranger"


def test_a_revoked_key_signs_nothing_more(signed: Path, root: Path) -> None:
    (root / STORE / "keys").mkdir()
    (root / STORE / "keys/site.revoked").write_bytes(public_pem(public(KEY)))
    with pytest.raises(SignatureError, match="whose key was revoked"):
        put(signed, root)


def test_a_stranger_cannot_sign_again(signed: Path, tmp_path: Path) -> None:
    """Other contents under the old signature, and the old contents under another's."""
    with Bundle(signed) as bundle:
        assert bundle.signature is not None
        manifest, signature = bundle.manifest, bundle.signature
    other = replace(manifest, policy="open", agent=("--insecure",)).encode()
    mine = OTHER.sign(container.SIGNED_HEAD + manifest.encode())
    for encoded, whose in (
        (other, signature),
        (manifest.encode(), Signature(public(KEY), mine)),
        (manifest.encode(), Signature(public(KEY), b"")),
    ):
        with (tmp_path / "forged.bkb").open("wb") as file:
            container.write(file, [part_of(MANIFEST, encoded), part_of(SIGNATURE, whose.encode())])
        with pytest.raises(SignatureError, match="not as it was signed"):
            Bundle(tmp_path / "forged.bkb")


# ---- installing ---------------------------------------------------------------------------------


def test_installing_again_changes_nothing(plain: Path, root: Path) -> None:
    first = put(plain, root)
    assert first.changed and first.previous is None and said(root) == "plain"
    before = listing(root)
    again = put(plain, root)
    assert (again.version, again.changed) == (first.version, False)
    assert listing(root) == before


def test_rollback_and_back(plain: Path, signed: Path, root: Path) -> None:
    done = bankai("image", "rollback", "--root", root)
    assert done.returncode == 1 and "no previous version" in done.stderr
    put(plain, root)
    done = bankai("image", "rollback", "--root", root)
    assert done.returncode == 1 and "expected two installed ones" in done.stderr
    put(signed, root)
    assert said(root) == "signed"
    assert bankai("image", "rollback", "--root", root).returncode == 0
    assert said(root) == "plain"
    rollback(root, disk=QuickDisk(), note=print)
    assert said(root) == "signed"
    assert (root / STORE / "mine").read_bytes() == b"a person's"


def test_only_the_version_before_is_kept(root: Path, folder: Path) -> None:
    for name in ("a", "b", "c"):
        make(folder / f"{name}.bkb", tiny(folder, name, model=b"one and the same"))
        put(folder / f"{name}.bkb", root)
    versions = Versions(root)
    there = sorted(path.name for path in (root / PREFIX / "versions").iterdir())
    assert there == sorted([str(versions.current()), str(versions.previous())])
    assert said(root) == "c"
    models = [(root / PREFIX / "versions" / name / "model/model.gguf").stat() for name in there]
    assert models[0].st_ino == models[1].st_ino, "one model takes the room of one"


def test_where_the_links_lead(plain: Path, root: Path) -> None:
    (root / "usr/lib/systemd").mkdir(parents=True)
    (root / "usr/lib/systemd/systemd").touch()
    (root / "usr/local/bin").mkdir(parents=True)
    (root / "usr/local/bin/bankai-edge").write_text("somebody's")
    notes: list[str] = []
    put(plain, root, note=notes.append)
    assert any("usr/local/bin/bankai-edge is not of this program" in note for note in notes)
    assert (root / "usr/local/bin/bankai-edge").read_text() == "somebody's"
    for place in ("", "multi-user.target.wants/"):
        unit = root / f"etc/systemd/system/{place}bankai-edge-agent.service"
        assert "ExecStart=/opt/bankai-edge/current/bin/bankai-edge-agent" in unit.read_text()
    (root / "usr/local/bin/bankai-edge").unlink()
    put(plain, root)
    assert (root / "usr/local/bin/bankai-edge").resolve().parent.name == "bin"


def test_the_service_can_read_what_a_careful_root_installed(plain: Path, root: Path) -> None:
    mask = os.umask(0o077)
    try:
        put(plain, root)
    finally:
        os.umask(mask)
    for path in (root / PREFIX).rglob("*"):
        wanted = 0o5 if path.is_dir() else 0o4
        assert path.is_symlink() or path.stat().st_mode & wanted == wanted, path


def test_systemd_accepts_the_unit(plain: Path, root: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here: the unit is only read, and this is one reader")
    (root / "usr/lib/systemd").mkdir(parents=True)
    (root / "usr/lib/systemd/systemd").touch()
    put(plain, root)
    text = (root / "etc/systemd/system/bankai-edge-agent.service").read_text()
    unit = root / "checked.service"
    unit.write_text(text.replace("/opt/bankai-edge/current/bin/bankai-edge-agent", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "checked.service" in line]
    assert not ours, done.stderr


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"machine": "riscv64"}, f"for {MACHINE} .*; expected one for riscv64"),
        ({"machine": f"{MACHINE} with 32-bit programs"}, "with 32-bit programs, which this"),
        ({"python": "3.9"}, f"this is Python 3.9; expected Python {PYTHON}"),
        ({"glibc": 4}, "this system has glibc 2.4; expected glibc 2.17"),
        ({"glibc": None}, "this system has another C library"),
    ],
)
def test_another_system_is_refused(
    change: dict[str, Any], sentence: str, plain: Path, root: Path
) -> None:
    before = listing(root)
    with pytest.raises(IncompatibleError, match=sentence):
        put(plain, root, target=replace(Target.here(root), **change))
    assert listing(root) == before


def test_an_older_python_is_told_so(plain: Path, tmp_path: Path) -> None:
    """The first lines run before anything that an older Python could not read."""
    with Bundle(plain) as bundle:
        main = bundle.read("__main__.py").decode()
    future = main.replace(f"({PYTHON.replace('.', ', ')})", "(9, 1)")
    assert future != main
    done = subprocess.run([sys.executable, "-c", future], capture_output=True, text=True)
    assert done.returncode == 4
    assert f"this is Python {PYTHON}; expected Python {PYTHON}" in done.stderr


class FullDisk(QuickDisk):
    """Has room by its own account; runs out of it after some writes."""

    def __init__(self, free: int, writes: int) -> None:
        self.free, self.writes = free, writes

    def free_bytes(self, path: Path) -> int:
        return self.free

    def write(self, descriptor: int, data: bytes) -> None:
        self.writes -= 1
        if self.writes < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(descriptor, data)


def test_no_room_is_told_before_anything_is_written(plain: Path, root: Path) -> None:
    before = listing(root)
    with pytest.raises(BankaiError, match=r"has 16 MiB free; expected 17 MiB for a"):
        put(plain, root, FullDisk(free=16 << 20, writes=99))
    assert listing(root) == before


def test_a_disk_that_fills_up_meanwhile_leaves_the_old_version(
    plain: Path, signed: Path, root: Path
) -> None:
    put(plain, root)
    before = listing(root)
    with pytest.raises(BankaiError, match=r"No space left.*Make room"):
        put(signed, root, FullDisk(free=1 << 40, writes=5))
    assert listing(root) == before and said(root) == "plain"


def test_two_installs_do_not_meet(plain: Path, root: Path) -> None:
    with (
        Versions(root, QuickDisk()).locked(),
        pytest.raises(BankaiError, match="another install is under way"),
    ):
        put(plain, root)


# ---- making -------------------------------------------------------------------------------------


@pytest.fixture
def making(tmp_path: Path) -> dict[str, Path]:
    """Files for `image bundle`: a wheel of our own, a folder of patches, keys."""
    (tmp_path / "patches").mkdir()
    shutil.copy(ARITH, tmp_path / "patches")
    wheel = tiny_wheel(tmp_path / "w", "x")
    bankai("keys", "new", "site", "--dir", tmp_path)
    return {"patches": tmp_path / "patches", "wheel": wheel, "keys": tmp_path}


def bundle(out: Path, making: dict[str, Path], *more: str | Path, **given: str | Path) -> Any:
    options: dict[str, str | Path] = {
        "board": BOARD, "model": NANO, "patches": making["patches"], "python": PYTHON,
        "wheel": making["wheel"], "wheels": making["wheel"].parent, **given,
    }  # fmt: skip
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    return bankai("image", "bundle", *words, *more, "-o", out)


def test_making_one_from_the_command_line(
    making: dict[str, Path], tmp_path: Path, root: Path
) -> None:
    site = tmp_path / "site.bkb"
    signing = making["keys"] / "site.key"
    done = bundle(site, making, "--serial", "/dev/ttyAMA0", "--sign", signing, ctx="128")
    assert done.returncode == 0, done.stderr
    with Bundle(site) as made:
        made.check()
        assert made.manifest.agent == ("--serial", "/dev/ttyAMA0")
        assert made.manifest.model.ctx == 128 and made.manifest.patches == ("patches/arith.bkp",)
        assert b"Conflicts=serial-getty@ttyAMA0" in made.read("bankai-edge-agent.service")
        assert made.signature is not None
    done = bankai("image", "install", site, "--root", root, "--json")
    assert json.loads(done.stdout)["changed"] is True
    assert said(root) == "x"
    agent = (root / PREFIX / "current/bin/bankai-edge-agent").read_text()
    assert "'--policy',\n    'open',\n    '--ctx',\n    '128',\n" in agent


@pytest.mark.parametrize(
    ("given", "code", "sentence"),
    [
        ({"board": "toaster"}, 2, "no board named 'toaster'; expected one of"),
        ({"board": "pico"}, 2, "expected one of"),
        ({"ctx": "9999"}, 2, "a context of 9999 tokens"),
        ({"ram": "3GiB"}, 2, "expected one of"),
        ({"ram": "much"}, 2, "expected a size as"),
        ({"python": "2.7"}, 2, "expected 3.11 or newer"),
        ({"python": "3.77"}, 4, "no --wheel serves CPython 3.77"),
        ({"policy": "require"}, 2, "without --trust"),
        ({"model": ARITH}, 4, "GGUF"),
    ],
)
def test_what_no_bundle_is_made_of(
    given: dict[str, str | Path],
    code: int,
    sentence: str,
    making: dict[str, Path],
    tmp_path: Path,
) -> None:
    if given.get("python") == "3.77":  # the tiny wheel serves every Python
        own = making["wheel"].with_name(f"bankai_edge-0.1.0-cp311-cp311-linux_{MACHINE}.whl")
        given = {**given, "wheel": making["wheel"].rename(own)}
    done = bundle(tmp_path / "site.bkb", making, **given)
    assert (done.returncode, sentence in done.stderr) == (code, True), done.stderr
    assert not (tmp_path / "site.bkb").exists()


def test_a_model_too_large_for_the_board_names_both_figures(
    making: dict[str, Path], tmp_path: Path
) -> None:
    from bankai_edge.model.synth import write_model
    from bankai_edge.shapes import ModelShape

    shape = ModelShape("wide", 8, 128, 128, 8, 8, 128, 512, 1 << 17)
    write_model(tmp_path / "wide.gguf", shape, 1)
    (making["patches"] / "arith.bkp").unlink()
    given = {"board": "rpi-zero2w", "model": tmp_path / "wide.gguf"}
    args = [word for key, value in given.items() for word in (f"--{key}", value)]
    done = bankai("image", "bundle", *args, "--ctx", "100000", "-o", tmp_path / "site.bkb")
    assert done.returncode == 4
    assert "needs 3.1 GiB at a context of 100,000 tokens" in done.stderr
    assert "rpi-zero2w with 512 MiB has" in done.stderr


def test_patches_that_the_device_would_refuse(making: dict[str, Path], tmp_path: Path) -> None:
    public_key = making["keys"] / "site.pub"
    done = bundle(tmp_path / "site.bkb", making, trust=public_key)
    assert done.returncode == 5 and "arith.bkp is not signed" in done.stderr
    signed = tmp_path / "signed"
    signed.mkdir()
    bankai("patch", "sign", ARITH, "-k", making["keys"] / "site.key", "-o", signed / "arith.bkp")
    done = bundle(tmp_path / "site.bkb", making, trust=public_key, patches=signed, policy="require")
    assert done.returncode == 1 and "have no cryptography" in done.stderr, done.stderr
    done = bundle(tmp_path / "site.bkb", making, patches=_folder(tmp_path, "none"))
    assert done.returncode == 2 and "holds no patch" in done.stderr
    (making["patches"] / "twice.bkp").write_bytes(ARITH.read_bytes())
    with pytest.raises(UsageError, match="both named arith"):
        read_patches(making["patches"], "open", [])


def _folder(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


@pytest.mark.parametrize(
    ("name", "python", "machine", "serves", "glibc"),
    [
        ("a-1-py3-none-any.whl", "3.13", "aarch64", True, 0),
        ("a-1-py2.py3-none-any.whl", "3.11", "aarch64", True, 0),
        ("a-1-py2-none-any.whl", "3.11", "aarch64", False, 0),
        ("a-1-cp311-abi3-manylinux_2_17_aarch64.whl", "3.13", "aarch64", True, 17),
        ("a-1-cp311-abi3-manylinux_2_17_aarch64.whl", "3.10", "aarch64", False, 17),
        ("a-1-cp311-abi3-manylinux_2_17_aarch64.whl", "3.13", "x86_64", False, 17),
        ("a-1-cp311-cp311-manylinux2014_aarch64.whl", "3.13", "aarch64", False, 17),
        ("a-1-cp313-cp313t-manylinux_2_17_aarch64.whl", "3.13", "aarch64", False, 17),
        ("a-1-1-cp313-cp313-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl", "3.13",
         "aarch64", True, 27),
    ],
)  # fmt: skip
def test_whom_a_wheel_serves(
    name: str, python: str, machine: str, serves: bool, glibc: int
) -> None:
    found = wheels.wheel_file(Path(name))
    assert (found.serves(python, machine), found.glibc) == (serves, glibc)


def test_what_a_wheel_needs(tmp_path: Path) -> None:
    needs = ("b >=2,<3", "a>=1", "old; python_version < '3.11'", "seal>=4; extra == 'sign'")
    metadata = "Metadata-Version: 2.1\nName: a\nVersion: 1\nProvides-Extra: sign\n"
    metadata += "".join(f"Requires-Dist: {text}\n" for text in needs)
    wheel = write_wheel(tmp_path, "a", "1", "py3-none-any", [], metadata)
    assert wheels.requirements(wheel) == ["a>=1", "b>=2,<3"]
    assert wheels.requirements(wheel, "sign") == ["a>=1", "b>=2,<3", "seal>=4"]
    wheel.write_bytes(b"no zip")
    with pytest.raises(IncompatibleError, match="is not a wheel"):
        wheels.requirements(wheel)
