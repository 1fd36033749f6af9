"""What an installed version brings into the store, and what of it a person's doings outlast."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bankai_edge.agent.seed import RECORD, recorded
from bankai_edge.model import Model
from bankai_edge.patch.keys import TrustStore, public_pem
from bankai_edge.patch.sign import sign
from support.agents import Agent, bankai, make_patch, on_disk

KEY, NEXT = (Ed25519PrivateKey.from_private_bytes(bytes([n] * 32)) for n in (1, 2))


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


@pytest.fixture(scope="module")
def patches(nano_path: Path) -> dict[str, bytes]:
    """Three versions of a patch named a."""
    model = Model(nano_path)
    return {f"a{n}": make_patch(model, "a", range(n, n + 5)) for n in (1, 2, 3)}


def seed(
    folder: Path, patches: Mapping[str, bytes], keys: Mapping[str, Ed25519PrivateKey] | None = None
) -> Path:
    for part, files in (
        ("patches", {f"{name}.bkp": data for name, data in patches.items()}),
        ("keys", {f"{name}.pub": public_pem(public(key)) for name, key in (keys or {}).items()}),
    ):
        (folder / part).mkdir(parents=True)
        for name, data in files.items():
            (folder / part / name).write_bytes(data)
    return folder


def start(model: Path, store: Path, seed: Path, *args: str) -> str:
    """Start an agent and stop it; what it told."""
    with Agent(model, store, "--udp", "0", "--seed", seed, *args) as agent:
        return agent.log


def test_a_patch_comes_once_and_a_person_wins(
    nano_path: Path, patches: dict[str, bytes], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    seeds = {name: seed(tmp_path / name, {"a": data}) for name, data in patches.items()}
    assert "a is stored, as this version has it" in start(nano_path, store, seeds["a1"])
    assert on_disk(store, "a") == patches["a1"]
    assert "a is stored" not in start(nano_path, store, seeds["a1"])
    start(nano_path, store, seeds["a2"])
    assert on_disk(store, "a") == patches["a2"], "the next version replaces what the first brought"
    with Agent(nano_path, store, "--udp", "0", "--seed", seeds["a2"]) as agent:
        assert bankai("rm", "a", "--device", agent.place("udp")).returncode == 0
    start(nano_path, store, seeds["a2"])
    assert on_disk(store, "a") is None, "what a person removed stays away"
    own = tmp_path / "own.bkp"
    own.write_bytes(patches["a3"])
    with Agent(nano_path, store, "--udp", "0") as agent:
        assert bankai("push", own, "--device", agent.place("udp")).returncode == 0
    assert "a stays as it was pushed" in start(nano_path, store, seeds["a1"])
    assert on_disk(store, "a") == patches["a3"]
    assert "stays" not in start(nano_path, store, seeds["a1"])


def test_keys_come_first_and_go_with_the_version(
    nano_path: Path, patches: dict[str, bytes], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    trust = TrustStore(store / "keys")
    bare = seed(tmp_path / "bare", {"a": patches["a1"]}, {"site": KEY})
    log = start(nano_path, store, bare, "--require-signed")
    assert "site (8a88e3dd7409f195) is trusted" in log and "not stored" in log
    assert on_disk(store, "a") is None
    signed = seed(tmp_path / "signed", {"a": sign(patches["a1"], KEY)}, {"site": KEY})
    assert "a is stored" in start(nano_path, store, signed, "--require-signed")
    trust.trust("mine", bytes(range(32)))
    later = seed(tmp_path / "later", {"a": sign(patches["a2"], NEXT)}, {"next": NEXT})
    start(nano_path, store, later, "--require-signed")
    assert trust.trusted() == {"mine": bytes(range(32)), "next": public(NEXT)}
    assert on_disk(store, "a") == sign(patches["a2"], NEXT)
    trust.revoke("next")
    start(nano_path, store, later, "--require-signed")
    start(nano_path, store, signed, "--require-signed")
    start(nano_path, store, later, "--require-signed")
    assert "next" not in trust.trusted(), "a revoked key does not come back"


def test_what_cannot_be_read_is_told_and_stops_nothing(
    nano_path: Path, patches: dict[str, bytes], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    odd = seed(tmp_path / "odd", {"a": patches["a1"], "b": b"no patch"})
    (odd / "keys/site.pub").write_text("no key")
    log = start(nano_path, store, odd)
    assert "b.bkp" in log and "site.pub is no public key" in log
    assert on_disk(store, "a") == patches["a1"]
    assert list(recorded(store).patches) == ["a"]
    (store / RECORD).write_text("{}")
    assert "a is stored" not in start(nano_path, store, odd), "it is there already"
