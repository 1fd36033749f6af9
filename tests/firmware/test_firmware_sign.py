"""Signatures on a chip: what the signature gate takes and refuses with firmware/sign behind it."""

from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import core_build as core
import count_cortex_m
import cross_cortex_m
import firmware_keys
import firmware_monocypher
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bankai_edge._link import RC
from bankai_edge.agent.limits import Policy
from bankai_edge.patch import keys, sign
from support.compilers import (
    CHIPS,
    ROOT,
    SANITIZE,
    STRICT,
    build,
    compiler,
    missing,
)

FIRMWARE = ROOT / "firmware"
SIGN = sorted((FIRMWARE / "sign").glob("*.c"))
NEEDED = ("bk_cose", "zcbor", "bk_say", "bk_divide", "bk_utf8", "bk_utf8_class", "bk_unicode")
GATE = [core.HERE / "device/bk_signature_gate.c", *(core.find(f"{name}.c") for name in NEEDED)]
POLICIES: tuple[Policy, ...] = ("open", "warn", "require")
ORDER = 2**252 + 27742317777372353535851937790883648493  # of Ed25519's group
PAYLOAD = b"\xa1\x00\x01 sixty bytes are as good as a patch here, and much quicker"


@pytest.fixture(scope="session")
def monocypher() -> Path:
    try:
        return firmware_monocypher.fetch()
    except firmware_monocypher.FetchError as error:
        missing("Monocypher", str(error))
        raise


def objects(gcc: str, flags: list[str], monocypher: Path, out: Path) -> list[Path]:
    """Objects of everything that opens a signed file: ours strictly, the others' as they are."""
    curve = monocypher / "monocypher.c"
    made = []
    for source in [*SIGN, *GATE, curve]:
        made.append(out / f"{source.stem}.o")
        strict = [core.DIALECT, "-w"] if source == curve else STRICT
        build([gcc, *flags, *strict, f"-I{FIRMWARE / 'include'}", f"-I{FIRMWARE / 'sign'}",
               "-isystem", str(monocypher), "-c", str(source), "-o", str(made[-1])])  # fmt: skip
    return made


@dataclass(frozen=True)
class Probe:
    """The program of tests/c/sign_probe.c, under sanitizers."""

    program: Path
    scratch: Path

    def run(self, *args: str | Path) -> list[str]:
        command = [str(self.program), *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    def file(self, data: bytes) -> Path:
        path = self.scratch / hashlib.sha256(data).hexdigest()[:16]
        path.write_bytes(data)
        return path

    def keys(self, trusted: list[bytes], revoked: list[bytes]) -> Path:
        data = b"".join(key + b"\0" for key in trusted) + b"".join(key + b"\1" for key in revoked)
        return self.file(data)

    def open(self, policy: Policy, keys_file: Path, data: bytes) -> tuple[int, bytes, str]:
        """(rc, payload, problem) of one file."""
        line = self.run("open", str(POLICIES.index(policy)), keys_file, self.file(data))[0]
        rc, at, n, problem = line.split(" ", 3)
        return int(rc), data[int(at) : int(at) + int(n)], problem


@pytest.fixture(scope="module")
def probe(monocypher: Path, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    gcc = compiler("gcc", "apt-get install gcc")
    out = tmp_path_factory.mktemp("sign")
    flags = [*SANITIZE, "-O2"]
    linked = objects(gcc, flags, monocypher, out)
    build([gcc, *flags, *STRICT, "-fno-freestanding", f"-I{FIRMWARE / 'include'}",
           f"-I{FIRMWARE / 'sign'}", str(ROOT / "tests/c/sign_probe.c"), *map(str, linked),
           "-o", str(out / "probe")])  # fmt: skip
    return Probe(out / "probe", out)


def private(seed: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def test_sha512(probe: Probe) -> None:
    """Whole and in pieces it is hashlib's; lengths around the block's, where padding changes."""
    vectors = [b"", b"abc", b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"]
    for data in [*vectors, *(bytes(range(256)) * 3)[:300].splitlines()]:
        assert set(probe.run("hash", probe.file(data))) == {hashlib.sha512(data).hexdigest()}
    for n in [1, 110, 111, 112, 113, 127, 128, 129, 239, 240, 241, 255, 256, 257, 5000]:
        data = hashlib.shake_128(bytes([n % 256])).digest(n)
        assert set(probe.run("hash", probe.file(data))) == {hashlib.sha512(data).hexdigest()}


def test_million(probe: Probe) -> None:
    """FIPS 180-4's long example."""
    digest = probe.run("hash", probe.file(b"a" * 1_000_000))[0]
    assert (digest[:16], digest[-16:]) == ("e718483d0ce76964", "4eadb217ad8cc09b")


@pytest.mark.parametrize("policy", POLICIES)
def test_the_table(probe: Probe, policy: Policy) -> None:
    """Every kind of file under every policy: taken with its payload, taken with a word, or not."""
    mine, other, gone = private(1), private(2), private(3)
    table = probe.keys([public(mine), public(gone)], [public(gone)])
    good = sign.sign(PAYLOAD, mine)
    refused = {
        "revoked": sign.sign(PAYLOAD, gone),
        "wrong": good[:-1] + bytes([good[-1] ^ 1]),
        "cut": good[:-1],
        "longer": good + b"\0",
        "head alone": good[:1],
    }
    doubtful = {"bare": PAYLOAD, "another key": sign.sign(PAYLOAD, other), "empty": b""}
    assert probe.open(policy, table, good) == (0, PAYLOAD, "")
    for what, data in refused.items():
        rc, _, problem = probe.open(policy, table, data)
        assert (rc, bool(problem)) == (RC["SIGNATURE"], True), what
    for what, data in doubtful.items():
        rc, payload, problem = probe.open(policy, table, data)
        assert rc == (RC["SIGNATURE"] if policy == "require" else 0), what
        assert payload == (PAYLOAD if what == "another key" else data), what
        assert bool(problem) == (policy != "open"), what
        assert problem.startswith("warning: ") == (policy == "warn"), what


def test_a_sentence_names_the_key(probe: Probe) -> None:
    gone = private(3)
    table = probe.keys([], [public(gone)])
    problem = probe.open("open", table, sign.sign(PAYLOAD, gone))[2]
    assert problem.strip() == f"is signed by {public(gone).hex()[:16]}, whose key was revoked"


def test_no_bit_may_change(probe: Probe) -> None:
    data = sign.sign(PAYLOAD, private(1))
    table = probe.keys([public(private(1))], [])
    assert probe.run("bits", table, probe.file(data)) == [f"0 of {8 * len(data)}"]


def test_signatures_agree_with_the_signer(probe: Probe) -> None:
    """Of other keys and payloads of all lengths; and S has one form only."""
    for n in [1, 23, 24, 59, 60, 61, 255, 256, 257, 4000]:
        key, payload = private(n % 256), hashlib.shake_128(bytes([n % 256])).digest(n)
        table = probe.keys([public(key)], [])
        assert probe.open("require", table, sign.sign(payload, key)) == (0, payload, "")
    data = sign.sign(PAYLOAD, private(1))
    s = int.from_bytes(data[-32:], "little")
    again = data[:-32] + (s + ORDER).to_bytes(32, "little")
    table = probe.keys([public(private(1))], [])
    assert probe.open("open", table, again)[0] == RC["SIGNATURE"]
    assert probe.open("open", table, data)[0] == 0


# -- the table of keys -----------------------------------------------------------------------------


def test_table_of_keys(tmp_path: Path) -> None:
    """The directory that `keys trust` keeps becomes a table with every key and its fate."""
    trust = keys.TrustStore(tmp_path)
    trust.trust("me", public(private(1)))
    trust.trust("gone", public(private(2)))
    trust.revoke("gone")
    (tmp_path / "me.key").write_text("not read")
    source = firmware_keys.table("require", tmp_path)
    found = re.findall(r"\{\{(.+?)\}, (true|false)\}, /\* (\S+) \*/", source)
    assert [(bytes(int(x, 16) for x in octets.split(", ")), fate, name)
            for octets, fate, name in found] == [
        (public(private(1)), "false", "me.pub"), (public(private(2)), "true", "gone.revoked"),
    ]  # fmt: skip
    assert "{keys, 2}" in source and "BK_POLICY_REQUIRE, bk_sign_verify" in source
    gcc = compiler("gcc", "apt-get install gcc")
    out = tmp_path / "table.c"
    for text in (source, firmware_keys.table("open", None)):
        out.write_text(text)
        build([gcc, *STRICT, f"-I{FIRMWARE / 'include'}", "-c", str(out), "-o", f"{out}.o"])


@pytest.mark.parametrize("case", ["policy", "no directory", "no key", "all revoked", "damaged"])
def test_no_table_is_written(tmp_path: Path, case: str) -> None:
    """One sentence says why, and what is expected."""
    trust = keys.TrustStore(tmp_path)
    if case == "all revoked":
        trust.trust("me", public(private(1)))
        trust.revoke("me")
    if case == "damaged":
        (tmp_path / "me.pub").write_text("-----BEGIN PUBLIC KEY-----\nMCo=\n")
    policy = "strict" if case == "policy" else "require"
    place = tmp_path / "absent" if case == "no directory" else tmp_path
    with pytest.raises(firmware_keys.KeyTableError):
        firmware_keys.table(policy, place)


# -- on a chip -------------------------------------------------------------------------------------


@pytest.mark.parametrize("chip", CHIPS)
def test_freestanding(chip: str, monocypher: Path, tmp_path: Path) -> None:
    """What a verify takes of a chip's flash; it needs nothing but mem*/str*."""
    gcc = compiler("arm-none-eabi-gcc", "apt-get install gcc-arm-none-eabi")
    flags = [*CHIPS[chip], "-mthumb", "-Os", "-fbuiltin", "-ffunction-sections", "-fdata-sections"]
    made = objects(gcc, flags, monocypher, tmp_path)
    table = tmp_path / "table.c"
    table.write_text(firmware_keys.table("open", None))
    build([gcc, *flags, *STRICT, f"-I{FIRMWARE / 'include'}", "-c", str(table),
           "-o", str(tmp_path / "table.o")])  # fmt: skip
    ours = [path for path in made if path.stem not in {source.stem for source in GATE}]
    ours.append(tmp_path / "table.o")
    whole = tmp_path / "whole.o"
    build(["arm-none-eabi-ld", "-r", "--gc-sections", "-ubk_trust_built_in",
           "-o", str(whole), *map(str, ours)])  # fmt: skip
    build(["arm-none-eabi-strip", "--strip-unneeded", str(whole)])
    symbols = subprocess.check_output(["arm-none-eabi-nm", str(whole)], text=True)
    undefined = re.findall(r"^\s+U (\S+)$", symbols, re.M)
    allowed = r"mem|str|bk_cose_|__aeabi_"
    assert [name for name in undefined if not re.match(allowed, name)] == []
    size = subprocess.check_output(["arm-none-eabi-size", str(whole)], text=True)
    print(f"\nsignatures on {chip}, -Os:\n{size}")
    assert int(size.splitlines()[1].split()[0]) < 14 * 1024


@pytest.mark.parametrize("name", ["m4", "m7"])
def test_on_a_chip(name: str, monocypher: Path, tmp_path: Path) -> None:
    """An emulated chip takes what was signed and refuses a changed bit; what that costs."""
    if tool := cross_cortex_m.missing_tool():
        missing(tool, f"apt-get install {cross_cortex_m.PACKAGES}")
    chip = cross_cortex_m.CHIPS[name]
    gcc = compiler("arm-none-eabi-gcc", "apt-get install gcc-arm-none-eabi")
    flags = [*CHIPS[f"cortex-{name}"], "-mthumb", "-Os", "-fbuiltin", "-ffunction-sections"]
    include = [f"-I{FIRMWARE / 'include'}", f"-I{FIRMWARE / 'sign'}"]
    made = objects(gcc, flags, monocypher, tmp_path)
    source = ROOT / "tests/c/sign_probe.c"
    binary = cross_cortex_m.program(chip, source, made, tmp_path, *include)
    data = sign.sign(bytes(440), private(1))  # as large as a patch of 93 rows
    paths = [tmp_path / word for word in ("keys", "good", "bad")]
    for path, content in zip(
        paths, (public(private(1)) + b"\0", data, data[:100] + b"\1" + data[101:]), strict=True
    ):
        path.write_bytes(content)
    table, good, bad = map(str, paths)
    done = cross_cortex_m.run(chip, binary, "open", "2", table, good, bad)
    assert [line.split(" ", 1)[0] for line in done.stdout.splitlines()] == [
        "0",
        str(RC["SIGNATURE"]),
    ]
    stack = int(cross_cortex_m.run(chip, binary, "cost", table, good, "1").stdout)
    verify = count_cortex_m.counter(tmp_path).difference(
        lambda times: cross_cortex_m.command(chip, binary, "cost", table, good, times)
    )
    print(f"\na verify on {name}, -Os: {verify} instructions, {stack} bytes of stack")
    assert verify < 5_000_000 and stack < 3000
