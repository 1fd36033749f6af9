"""Signatures: another COSE library agrees, no bit may change, and the device keeps its policy."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bankai_edge.agent.limits import Policy
from bankai_edge.errors import BankaiError, IncompatibleError, SignatureError
from bankai_edge.model import Model
from bankai_edge.patch import decode, encode, files, keys, sign
from support.agents import Agent, bankai, make_patch
from support.tamper import POLICIES, Board, public, run_tampering

ORDER = 2**252 + 27742317777372353535851937790883648493  # of Ed25519's group


@pytest.fixture(scope="module")
def model(nano_path: Path) -> Model:
    return Model(nano_path)


@pytest.fixture(scope="module")
def bare(model: Model) -> bytes:
    return make_patch(model, "arith", [1, 2, 3])


@pytest.fixture(scope="module")
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


# ---- the envelope -------------------------------------------------------------------------------


def test_what_was_signed_comes_out(bare: bytes, key: Ed25519PrivateKey) -> None:
    signed = sign.sign(bare, key)
    assert sign.is_signed(signed) and not sign.is_signed(bare)
    assert signed == sign.sign(bare, key)
    envelope = sign.unwrap(signed)
    sign.verify(envelope)
    assert (envelope.payload, envelope.public_key) == (bare, public(key))
    assert sign.payload_of(signed) == sign.payload_of(bare) == bare
    assert len(signed) - len(bare) <= 112


@pytest.mark.parametrize("size", [1, 23, 24, 255, 256, 65535, 65536, 100_000])
def test_payloads_of_any_length(size: int, key: Ed25519PrivateKey) -> None:
    envelope = sign.unwrap(sign.sign(bytes(size), key))
    sign.verify(envelope)
    assert envelope.payload == bytes(size)


def test_pycose_reads_ours(bare: bytes, key: Ed25519PrivateKey) -> None:
    from pycose.keys import OKPKey
    from pycose.keys.curves import Ed25519
    from pycose.messages import Sign1Message

    tagged = cbor2.loads(sign.sign(bare, key))
    assert tagged.tag == 18
    protected, unprotected, payload, signature = tagged.value
    # its own decode() stumbles over cbor2 6's tuples; what follows is all its own
    message = Sign1Message.from_cose_obj([protected, dict(unprotected), payload, signature], True)
    message.key = OKPKey(crv=Ed25519, x=public(key))
    assert message.payload == bare
    assert message.verify_signature()
    message.key = OKPKey(crv=Ed25519, x=public(Ed25519PrivateKey.generate()))
    assert not message.verify_signature()


def test_we_read_pycoses(bare: bytes, key: Ed25519PrivateKey) -> None:
    from pycose.algorithms import EdDSA
    from pycose.headers import KID, Algorithm
    from pycose.keys import OKPKey
    from pycose.keys.curves import Ed25519
    from pycose.messages import Sign1Message

    message = Sign1Message(phdr={Algorithm: EdDSA, KID: public(key)}, payload=bare)
    message.key = OKPKey(crv=Ed25519, x=public(key), d=key.private_bytes_raw())
    theirs = message.encode()
    assert theirs == sign.sign(bare, key)
    sign.verify(sign.unwrap(theirs))


def test_cddl(bare: bytes, key: Ed25519PrivateKey) -> None:
    """The envelope is as the description that ships with the package says."""
    pycddl = pytest.importorskip("pycddl", reason="pycddl is a test requirement")
    rules = Path(sign.__file__).with_name("bkp.cddl").read_text()
    signed = sign.sign(bare, key)
    body = cbor2.loads(signed).value
    for rule, good, bad in [
        ("signed-patch", signed, [bare, cbor2.dumps(cbor2.CBORTag(17, body)), signed[1:]]),
        (
            "signed-header",
            body[0],
            [cbor2.dumps({1: -7, 4: bytes(32)}), cbor2.dumps({1: -8, 4: bytes(31)})],
        ),
    ]:
        schema = pycddl.Schema(f"start = {rule}\n{rules}")
        schema.validate_cbor(good)
        for other in bad:
            with pytest.raises(pycddl.ValidationError):
                schema.validate_cbor(other)


def cose(key: Ed25519PrivateKey, payload: bytes, header: object, unprotected: object) -> bytes:
    protected = cbor2.dumps(header)
    signature = key.sign(cbor2.dumps(["Signature1", protected, b"", payload]))
    return cbor2.dumps(cbor2.CBORTag(18, [protected, unprotected, payload, signature]))


def test_other_envelopes_are_refused(bare: bytes, key: Ed25519PrivateKey) -> None:
    """Rightly signed, and yet not the one form: there is no second encoding of a signed patch."""
    kid = public(key)
    assert sign.unwrap(cose(key, bare, {1: -8, 4: kid}, {})).payload == bare
    others = [
        cose(key, bare, {1: -8, 4: kid}, {5: b"x"}),
        cose(key, bare, {1: -8}, {4: kid}),
        cose(key, bare, {4: kid, 1: -8}, {}),
        cose(key, bare, {1: -7, 4: kid}, {}),
        cose(key, bare, {1: -8, 4: kid[:31]}, {}),
        cose(key, bare, {1: -8, 4: kid, 5: 1}, {}),
        cose(key, b"", {1: -8, 4: kid}, {}),
        b"\xd8\x12" + sign.sign(bare, key)[1:],  # the tag in a longer form
        sign.sign(bare, key) + b"\x00",
        sign.sign(bare, key)[1:],
    ]
    for other in others:
        with pytest.raises((SignatureError, IncompatibleError)):
            decode(sign.payload_of(other))


def test_a_second_form_of_the_signature_is_refused(bare: bytes, key: Ed25519PrivateKey) -> None:
    signed = sign.sign(bare, key)
    again = int.from_bytes(signed[-32:], "little") + ORDER
    with pytest.raises(SignatureError, match="not as it was signed"):
        sign.payload_of(signed[:-32] + again.to_bytes(32, "little"))


def test_a_signature_does_not_fit_another_patch(
    bare: bytes, model: Model, key: Ed25519PrivateKey
) -> None:
    other = make_patch(model, "arith", [1, 2, 4])
    assert len(other) == len(bare)
    with pytest.raises(SignatureError, match="not as it was signed"):
        sign.payload_of(sign.sign(bare, key).replace(bare, other))


# ---- a device -----------------------------------------------------------------------------------


@pytest.fixture
def board(model: Model, tmp_path: Path, key: Ed25519PrivateKey) -> Iterator[Board]:
    board = Board(model, tmp_path / "store")
    board.trust.trust("me", public(key))
    yield board
    board.store.close()


@pytest.mark.parametrize("policy", POLICIES)
def test_no_bit_of_a_signed_file_may_change(
    board: Board, key: Ed25519PrivateKey, policy: Policy
) -> None:
    """Under every policy: the open device too takes a signed patch as signed, or not at all."""
    board.restart(policy)
    refused, cuts = run_tampering(board, key)
    print(f"{policy}: {sum(refused.values())} bits flipped, {cuts} cuts, all refused: {refused}")
    assert sum(refused.values()) == 8 * cuts
    if policy == "require":
        assert set(refused) == {"SIGNATURE"}


@pytest.mark.parametrize(
    ("what", "open_", "warn", "require"),
    [
        ("trusted", "", "", ""),
        ("unsigned", "", "note", "SIGNATURE"),
        ("unknown", "", "note", "SIGNATURE"),
        ("revoked", "SIGNATURE", "SIGNATURE", "SIGNATURE"),
        ("forged", "SIGNATURE", "SIGNATURE", "SIGNATURE"),
    ],
)
def test_what_each_policy_takes(
    board: Board,
    bare: bytes,
    key: Ed25519PrivateKey,
    what: str,
    open_: str,
    warn: str,
    require: str,
) -> None:
    other = Ed25519PrivateKey.generate()
    if what == "revoked":
        board.trust.trust("gone", public(other))
        board.trust.revoke("gone")
    data = {
        "trusted": sign.sign(bare, key),
        "unsigned": bare,
        "unknown": sign.sign(bare, other),
        "revoked": sign.sign(bare, other),
        "forged": sign.sign(bare, other).replace(public(other), public(key)),
    }[what]
    for policy, expected in zip(POLICIES, (open_, warn, require), strict=True):
        board.restart(policy)
        board.log.clear()
        rc = board.refusal(lambda: board.push(data))
        assert rc == expected.replace("note", ""), policy
        assert bool(board.log) == (expected == "note")
        assert (board.store.find("arith") is not None) == (rc == "")
        assert board.device.info()["policy"] == policy
        if rc == "":
            board.device.activate(["arith"])
            assert board.active() == ["arith"]
            board.device.deactivate([])
            board.device.remove("arith")


def test_a_policy_counts_for_what_is_stored_too(
    board: Board, bare: bytes, key: Ed25519PrivateKey
) -> None:
    board.restart("open")
    board.push(bare)
    board.device.activate(["arith"])
    board.restart("require")
    assert board.active() == []
    assert any("arith stays inactive" in line for line in board.log)
    for change in (lambda: board.device.activate(["arith"]), board.device.rollback):
        assert board.refusal(change) == "SIGNATURE"
    assert board.device.verify()["bad_patches"] == ["arith"]
    board.push(sign.sign(bare, key))
    board.device.activate(["arith"])
    assert board.active() == ["arith"]


def test_a_revoked_key_counts_at_the_next_switch(
    board: Board, bare: bytes, model: Model, key: Ed25519PrivateKey
) -> None:
    board.push(sign.sign(bare, key))
    board.push(sign.sign(make_patch(model, "other", [9]), key), "other")
    board.device.activate(["arith"])
    board.trust.revoke("me")
    assert board.refusal(lambda: board.device.activate(["other"])) == "SIGNATURE"
    assert board.active() == ["arith"]  # until then
    board.restart()
    assert board.active() == []
    with pytest.raises(BankaiError, match="revoked as me"):
        board.trust.trust("again", public(key))


def numbered(bare: bytes, sequence: int | None) -> bytes:
    return encode(replace(decode(bare), sequence=sequence))


def test_an_older_version_is_refused(board: Board, bare: bytes, key: Ed25519PrivateKey) -> None:
    def push(sequence: int | None) -> str:
        return board.refusal(lambda: board.push(sign.sign(numbered(bare, sequence), key)))

    assert push(None) == ""
    assert push(5) == ""
    assert push(4) == push(None) == push(0) == "DOWNGRADE"
    assert push(5) == push(7) == ""
    board.restart()
    assert push(6) == "DOWNGRADE"
    board.device.remove("arith")
    assert push(6) == "DOWNGRADE"  # whoever reaches the device could remove it
    assert push(0xFFFFFFFF) == ""
    board.restart("open")
    board.device.remove("arith")
    assert push(6) == ""  # where anyone may push anything, removing is starting over


def test_without_the_library(
    board: Board, bare: bytes, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = sign.sign(bare, key)
    for module in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    assert sign.payload_of(signed) == bare
    board.store.close()
    with pytest.raises(BankaiError, match=r"pip install 'bankai-edge\[sign\]'"):
        board.start("require")
    board.store.close()
    board.start("warn")
    assert board.refusal(lambda: board.push(signed)) == ""
    assert any("not installed" in line for line in board.log)


# ---- keys ---------------------------------------------------------------------------------------


def test_openssl_reads_the_keys(tmp_path: Path) -> None:
    private_path, public_path = keys.new(tmp_path / "own", "me")
    assert stat.S_IMODE(private_path.stat().st_mode) == 0o600
    derived = subprocess.run(
        ["openssl", "pkey", "-in", private_path, "-pubout"], capture_output=True, check=True
    )
    assert derived.stdout == public_path.read_bytes()
    assert keys.read_public(public_path) == public(keys.read_private(private_path))
    with pytest.raises(BankaiError, match="already"):
        keys.new(tmp_path / "own", "me")


@pytest.mark.parametrize(
    "content", [b"", b"ssh-ed25519 AAAA", b"\xff\xfe", b"-----BEGIN PUBLIC KEY"]
)
def test_what_is_no_key_is_said_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pub").write_bytes(content)
    for read in (keys.read_public, keys.read_private):
        with pytest.raises(BankaiError, match="is no "):
            read(tmp_path / "x.pub")
    assert keys.TrustStore(tmp_path).trusted() == {}


def test_keys_of_another_kind_are_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    other = ec.generate_private_key(ec.SECP256R1())
    private, encoding = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    (tmp_path / "ec.key").write_bytes(
        other.private_bytes(encoding, private, serialization.NoEncryption())
    )
    subject = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "ec.pub").write_bytes(other.public_key().public_bytes(encoding, subject))
    with pytest.raises(BankaiError, match="another kind"):
        keys.read_private(tmp_path / "ec.key")
    with pytest.raises(BankaiError, match="no public key"):
        keys.read_public(tmp_path / "ec.pub")


def test_the_trust_store(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    store = keys.TrustStore(tmp_path / "keys")
    assert store.trusted() == store.revoked() == {}
    other = public(Ed25519PrivateKey.generate())
    store.trust("me", public(key))
    store.trust("me", public(key))
    store.trust("also-me", public(key))
    store.trust("you", other)
    with pytest.raises(BankaiError, match="another key is trusted as me"):
        store.trust("me", other)
    for name in ("", "../x", "A", "a/b"):
        with pytest.raises(BankaiError, match="cannot name a key"):
            store.trust(name, other)
    with pytest.raises(BankaiError, match="also-me, me, you"):
        store.revoke("nobody")
    store.revoke("me")
    assert store.trusted() == {"you": other}  # the other name of the key is gone with it
    assert store.revoked() == {"me": public(key)}


# ---- the commands -------------------------------------------------------------------------------


def test_from_a_new_key_to_a_device_that_takes_only_signed_patches(
    nano_path: Path, bare: bytes, tmp_path: Path
) -> None:
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    place, trust = f"unix:{tmp_path / 's'}", tmp_path / "store" / "keys"
    own = tmp_path / "config/bankai-edge/keys"
    unsigned = tmp_path / "arith.bkp"
    unsigned.write_bytes(bare)

    def run(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = bankai(*words, env=env)
        assert done.returncode == code, (words, done.stderr)
        assert "Traceback" not in done.stderr
        return done

    def push(file: Path, code: int = 0) -> str:
        return run("push", file, "--use", "-d", place, code=code).stderr

    run("keys", "new", "me")
    run("keys", "new", "stranger")
    run("keys", "new", "me", code=1)
    listed = json.loads(run("keys", "list", "--json").stdout)["keys"]
    assert [(entry["name"], entry["state"]) for entry in listed] == [
        ("me", "own"),
        ("stranger", "own"),
    ]
    run("keys", "trust", own / "me.pub", "--trust", trust)
    assert "me" in run("keys", "list", "--trust", trust).stdout
    files_ = {n: tmp_path / f"{n}.bkp" for n in ("one", "two", "strange", "bent")}
    run("patch", "sign", unsigned, "-k", "me", "--sequence", "1", "-o", files_["one"])
    run(
        "patch", "sign", files_["one"], "-k", own / "me.key", "--sequence", "2", "-o", files_["two"]
    )
    run("patch", "sign", unsigned, "-k", "stranger", "--sequence", "9", "-o", files_["strange"])
    bent = bytearray(files_["two"].read_bytes())
    bent[60] ^= 1
    files_["bent"].write_bytes(bent)

    assert "signed by" in run("patch", "show", files_["two"]).stdout
    run("patch", "verify", files_["two"])
    assert "(me)" in run("patch", "verify", files_["two"], "--trust", trust).stdout
    run("patch", "verify", files_["two"], "--key", own / "me.pub")
    run("patch", "verify", files_["two"], "--key", own / "stranger.pub", code=5)
    run("patch", "verify", files_["strange"], "--trust", trust, code=5)
    run("patch", "verify", files_["bent"], code=5)
    run("patch", "verify", unsigned, code=5)
    run("run", "-m", nano_path, "-p", "1+1=", "-n", "1", "--patch", files_["two"])
    run("run", "-m", nano_path, "-p", "1+1=", "-n", "1", "--patch", files_["bent"], code=5)

    arguments = ("--unix", tmp_path / "s", "--require-signed")
    with Agent(nano_path, tmp_path / "store", *arguments) as agent:
        assert "signatures: require" in agent.log and "me" in agent.log
        assert "is not signed" in push(unsigned, 5)
        assert "not trusted" in push(files_["strange"], 5)
        push(files_["bent"], 5)
        assert bankai("list", "-d", place).stdout == ""
        push(files_["two"])
        assert "2 has been here" in push(files_["one"], 5)
        run("push", files_["two"], "--name", "other", "-d", place, code=2)
        run("keys", "revoke", "me", "--trust", trust)
        run("off", "-d", place)
        assert "revoked" in run("use", "arith", "-d", place, code=5).stderr
    assert files.read(files_["two"]).sequence == 2
