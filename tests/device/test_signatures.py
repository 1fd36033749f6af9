"""Whose patches a device takes: docs/store.md's table of policies and signatures, on every port."""

from __future__ import annotations

from pathlib import Path

import pytest

from bankai_edge._device import DeviceError
from bankai_edge._link import RC
from bankai_edge.agent.limits import Policy
from bankai_edge.model import Model
from bankai_edge.patch import Patch, encode, keys
from bankai_edge.patch.bind import bind
from bankai_edge.patch.sign import sign
from support.agents import make_patch
from support.direct import Direct
from support.ports import Port, Setting
from support.ports.table import on

ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
policies = pytest.mark.parametrize("policy", ["open", "warn", "require"])


class Signers:
    """Three: one whom devices trust, one revoked, a stranger."""

    def __init__(self, trust: Path) -> None:
        self.trust = trust
        trust.mkdir()
        self.friend, self.former, self.stranger = (
            ed25519.Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3)
        )
        for key, name in ((self.friend, "friend.pub"), (self.former, "former.revoked")):
            public = key.public_key().public_bytes_raw()
            (trust / name).write_bytes(keys.public_pem(public))


@pytest.fixture(scope="session")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Signers:
    return Signers(tmp_path_factory.mktemp("keys") / "trust")


@on("policy")
@policies
def test_the_table_of_policies(
    port: Port, policy: Policy, signers: Signers, tmp_path: Path, nano_path: Path, model: Model
) -> None:
    bare = make_patch(model, "p", range(9))
    good = sign(bare, signers.friend)
    lax = policy != "require"
    cases = {
        "a trusted key": (good, ""),
        "unsigned": (bare, "" if lax else "p is not signed, and"),
        "a stranger": (sign(bare, signers.stranger), "" if lax else "p is signed by ed4928c6"),
        "a revoked key": (sign(bare, signers.former), "p is signed by 8139770ea87d175f, whose key"),
    }
    for at in (*range(0, len(good) - 64, 11), len(good) - 64, len(good) - 33, len(good) - 1):
        flipped = bytearray(good)
        flipped[at] ^= 1 << at % 8
        cases[f"bit {at % 8} of byte {at}"] = (bytes(flipped), "p ")
    with port.start(Setting(tmp_path, nano_path, policy, signers.trust)) as running:
        device = Direct(running)
        for what, (data, refusal) in cases.items():
            if not refusal:
                device.push("p", data)
                continue
            with pytest.raises(DeviceError) as caught:
                device.push("p", data)
            rc, detail = caught.value.rc, caught.value.detail
            assert rc in (RC["SIGNATURE"], RC["MALFORMED"]) and detail.startswith(refusal), what
        assert device.info()["policy"] == policy


@on("policy")
def test_signed_patches_live_as_others_do(
    port: Port, signers: Signers, tmp_path: Path, nano_path: Path, model: Model
) -> None:
    """Switches, new versions of active ones, rollback, verify; and none comes back older."""

    def numbered(name: str, sequence: int, rows: int) -> bytes:
        flips = tuple((0, 3, row) for row in range(rows))
        patch = bind(Patch(name, rows=flips, sequence=sequence), model)
        return sign(encode(patch), signers.friend)

    with port.start(Setting(tmp_path, nano_path, "require", signers.trust)) as running:
        device = Direct(running)
        for name in ("a", "b"):
            device.push(name, numbered(name, 5, 9))
        device.activate(["a", "b"])
        device.push("a", numbered("a", 6, 12))
        device.rollback()
        assert device.verify()["ok"] is True
        device.deactivate()
        device.remove("a")
        # under this policy its number is remembered when it is removed
        with pytest.raises(DeviceError, match="a has sequence number 5; 6 has been here"):
            device.push("a", numbered("a", 5, 9))


@on("keeps", "policy")
def test_a_stricter_policy_leaves_inactive_what_it_does_not_take(
    port: Port, signers: Signers, tmp_path: Path, nano_path: Path, model: Model
) -> None:
    """Patches stored under `open` are there after a change to `require`; only the signed runs."""
    bare = make_patch(model, "bare", range(9))
    signed = sign(make_patch(model, "signed", range(20, 29)), signers.friend)
    with port.start(Setting(tmp_path, nano_path, "open", signers.trust)) as running:
        device = Direct(running)
        device.push("bare", bare)
        device.push("signed", signed)
        device.activate(["bare", "signed"])
    with port.start(Setting(tmp_path, nano_path, "require", signers.trust)) as running:
        device = Direct(running)
        assert device.info()["active"] == ["signed"]
        verify = device.verify()
        assert verify["ok"] is False and verify["bad_patches"] == ["bare"]
        assert verify["weights_intact"] is True
        assert [name for name, _, _ in device.list()] == ["bare", "signed"]
