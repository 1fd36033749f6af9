"""Whose patches a board takes: with Ed25519 built in, its policy is the Linux agent's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bankai_edge.agent.gate import Gate
from firmware_monocypher import FetchError

from bankai_edge.agent.limits import Policy
from bankai_edge.model import Model
from bankai_edge.patch import Patch, keys
from bankai_edge.patch.sign import sign
from support.agents import make_patch
from support.compilers import missing
from support.firmware.board import HostBoard, host_program
from support.firmware.twin import BK_GROUP, READ, WRITE, Twin, bound

ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
SIGNATURE = 16


class Keys:
    """Three signers: one whom devices trust, one revoked, a stranger."""

    def __init__(self, trust: Path) -> None:
        self.trust = trust
        trust.mkdir()
        self.friend, self.former, self.stranger = (
            ed25519.Ed25519PrivateKey.generate() for _ in range(3)
        )
        for key, name in ((self.friend, "friend.pub"), (self.former, "former.revoked")):
            public = key.public_key().public_bytes_raw()
            (trust / name).write_bytes(keys.public_pem(public))


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys") / "trust")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory, signers: Keys) -> dict[str, Path]:
    """The firmware under each policy; all but the table of keys is compiled once."""
    folder = tmp_path_factory.mktemp("signed")
    made = {}
    for policy in ("require", "warn", "open"):
        options = {"policy": policy, "trust": signers.trust, "reuse": bool(made)}
        try:
            program = host_program(folder, flags=(), **options)
        except FetchError as error:
            missing("Monocypher", str(error))
        made[policy] = Path(shutil.move(program, folder / policy))
    return made


@pytest.fixture(scope="module")
def model(nano_path: Path) -> Model:
    return Model(nano_path)


@pytest.fixture
def twin(
    programs: dict[str, Path],
    signers: Keys,
    tmp_path: Path,
    nano_path: Path,
    model: Model,
    policy: Policy,
) -> Iterator[Twin]:
    with HostBoard(programs[policy], tmp_path / "flash", nano_path) as board:
        gate = Gate(policy, keys.TrustStore(signers.trust), lambda _: None)
        twin = Twin(board, model, tmp_path / "store", gate=gate)
        yield twin
        twin.close()


@pytest.mark.parametrize("policy", ["open", "warn", "require"])
def test_the_table_of_policies(twin: Twin, model: Model, signers: Keys, policy: str) -> None:
    """docs/store.md's table, each case pushed to a board and to an agent."""
    bare = make_patch(model, "p", range(9))
    good = sign(bare, signers.friend)
    cases = {
        "a trusted key": (good, True),
        "unsigned": (bare, policy != "require"),
        "a stranger": (sign(bare, signers.stranger), policy != "require"),
        "a revoked key": (sign(bare, signers.former), False),
    }
    for at in (*range(0, len(good) - 64, 11), len(good) - 64, len(good) - 33, len(good) - 1):
        flipped = bytearray(good)
        flipped[at] ^= 1 << at % 8
        cases[f"bit {at % 8} of byte {at}"] = (bytes(flipped), False)
    for what, (data, taken) in cases.items():
        answer = twin.push("p", data)
        assert ("err" not in answer) == taken, (what, answer)
        if not taken and answer["err"]["rc"] == SIGNATURE:
            assert answer["detail"].startswith("p is "), (what, answer)
    warnings = twin.tell(READ, BK_GROUP, 0, {}).get("warnings", [])
    assert bool(warnings) == (policy == "warn"), warnings


@pytest.mark.parametrize("policy", ["require"])
def test_signed_patches_live_as_others_do(
    twin: Twin, model: Model, signers: Keys, nano_path: Path
) -> None:
    """Switches, new versions of active ones, rollback, verify; and none comes back older."""

    def numbered(name: str, sequence: int, rows: int) -> bytes:
        flips = tuple((0, 3, row) for row in range(rows))
        return sign(bound(model, Patch(name, rows=flips, sequence=sequence)), signers.friend)

    for name in ("a", "b"):
        twin.push(name, numbered(name, 5, 9))
    twin.ask(WRITE, BK_GROUP, 2, {"names": ["a", "b"]})
    twin.push("a", numbered("a", 6, 12))
    twin.ask(WRITE, BK_GROUP, 7, {"prompt": "17+25=", "max_tokens": 4})
    twin.generated()
    assert "ns" in twin.ask(WRITE, BK_GROUP, 5, {})
    assert twin.ask(READ, BK_GROUP, 6, {})["ok"] is True
    twin.ask(WRITE, BK_GROUP, 3, {})
    twin.ask(WRITE, BK_GROUP, 4, {"name": "a"})
    # under this policy its number is remembered when it is removed
    assert "6 has been here" in twin.push("a", numbered("a", 5, 9))["detail"]
    assert twin.ask(READ, BK_GROUP, 0, {})["policy"] == "require"


@pytest.mark.parametrize("policy", ["open"])
def test_a_stricter_firmware_leaves_inactive_what_it_does_not_take(
    twin: Twin, programs: dict[str, Path], model: Model, signers: Keys
) -> None:
    """Patches stored under `open` are there after an update to `require`; only the signed runs."""
    board: Any = twin.board
    twin.push("bare", make_patch(model, "bare", range(9)))
    twin.push("signed", sign(make_patch(model, "signed", range(20, 29)), signers.friend))
    twin.ask(WRITE, BK_GROUP, 2, {"names": ["bare", "signed"]})
    board._program = programs["require"]
    board.power_cut()
    info = twin.tell(READ, BK_GROUP, 0, {})
    assert info["active"] == ["signed"] and "bare stays inactive" in info["warnings"][0]
    verify = twin.tell(READ, BK_GROUP, 6, {})
    assert verify["ok"] is False and verify["bad_patches"] == ["bare"]
    assert verify["weights_intact"] is True
