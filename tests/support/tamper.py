"""A device with a policy and keys, and a signed patch changed in every bit on its way there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bankai_edge._device import DeviceError
from bankai_edge._link import RC
from bankai_edge.agent.device import AgentDevice
from bankai_edge.agent.limits import Policy
from bankai_edge.agent.store import Store
from bankai_edge.model import Model, Session
from bankai_edge.patch import decode, encode, keys, sign
from bankai_edge.shipped import ARITH
from support.direct import Direct
from support.disks import CountedDisk

POLICIES: tuple[Policy, ...] = ("open", "warn", "require")


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


class Unsynced(CountedDisk):
    """Thousands of uploads need not reach the medium."""

    def sync(self, descriptor: int) -> None:
        self.step()

    def sync_directory(self, path: Path) -> None:
        self.step()


@dataclass
class Board:
    model: Model
    root: Path
    policy: Policy = "require"

    def __post_init__(self) -> None:
        self.trust = keys.TrustStore(self.root / "keys")
        self.log: list[str] = []
        self.start(self.policy)

    def start(self, policy: Policy) -> None:
        self.policy = policy
        self.session = Session(self.model)
        self.store = Store(self.root, Unsynced(), note=self.log.append)
        self.agent = AgentDevice(
            self.session,
            self.store,
            policy=policy,
            trust=self.trust.directory,
            log=self.log.append,
            on_reset=lambda: None,
        )
        self.device = Direct(self.agent)

    def restart(self, policy: Policy | None = None) -> None:
        self.store.close()
        self.start(policy or self.policy)

    def push(self, data: bytes, name: str = "arith") -> None:
        self.agent.push(name, data)

    def refusal(self, change: Callable[[], object]) -> str:
        """The name of the rc with which a change is refused; "" when it is done."""
        try:
            change()
        except DeviceError as error:
            return next(name for name, number in RC.items() if number == error.rc)
        return ""

    def active(self) -> list[str]:
        active = self.device.info()["active"]
        assert isinstance(active, list)
        return active


def run_tampering(board: Board, key: Ed25519PrivateKey) -> tuple[dict[str, int], int]:
    """Flip every bit of a signed patch that has every field, and cut it to every length.

    Returns how often each rc refused a flip, and the number of cuts. Nothing may get in.
    """
    full = replace(decode(ARITH.read_bytes()), sequence=3, canaries=(("1+1=", "2"),))
    signed = sign.sign(encode(full), key)
    assert board.refusal(lambda: board.push(signed)) == ""
    board.device.remove("arith")
    refused: dict[str, int] = {}
    for bit in range(8 * len(signed)):
        changed = bytearray(signed)
        changed[bit // 8] ^= 1 << bit % 8
        rc = board.refusal(lambda changed=changed: board.push(bytes(changed)))
        assert rc, f"bit {bit} was flipped, and the patch taken"
        refused[rc] = refused.get(rc, 0) + 1
    for length in range(len(signed)):
        assert board.refusal(lambda length=length: board.push(signed[:length]))
    assert board.store.names() == []
    return refused, len(signed)
