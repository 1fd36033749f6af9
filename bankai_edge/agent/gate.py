"""Whose patches a device takes: signatures by the policy, and no step back to older ones."""

from __future__ import annotations

from collections.abc import Callable

from bankai_edge import _patch
from bankai_edge._link import RC, DeviceError
from bankai_edge.agent.limits import Policy
from bankai_edge.errors import CoreError, SignatureError
from bankai_edge.patch import sign
from bankai_edge.patch.keys import TrustStore
from bankai_edge.patch.refusals import patch_error


class Gate:
    """Opens what was pushed or is stored, or says why not.

    A wrong signature and a revoked key are refused under every policy. Whether a patch has to be
    signed by a trusted key is the policy: `require`; `warn`, which tells the operator; `open`.
    Raises, when made, BankaiError where signatures are required and cannot be verified.
    """

    def __init__(self, policy: Policy, trust: TrustStore, log: Callable[[str], None]) -> None:
        self.policy = policy
        self._trust = trust
        self._log = log
        if policy == "require":
            sign.ed25519()

    def open(self, name: str, data: bytes) -> bytes:
        """The bare `.bkp` in a file; raises SignatureError when the policy forbids it."""
        if not sign.is_signed(data):
            self._complain(f"{name} is not signed")
            return data
        envelope = sign.unwrap(data, name)
        key = envelope.public_key
        try:
            sign.verify(envelope, name)
        except sign.NoCryptographyError as error:
            self._complain(f"{name}: {error.found}")
            return envelope.payload
        for other, revoked in self._trust.revoked().items():
            if revoked == key:
                raise SignatureError(f"{name} is signed by {other}, whose key was revoked")
        if key not in self._trust.trusted().values():
            self._complain(
                f"{name} is signed by {sign.short_key(key)}, whom this device does not trust"
            )
        return envelope.payload

    def refuse_older(self, name: str, sequence: int | None, highest: int | None) -> None:
        """Raise DOWNGRADE for a patch older than the newest of its name that was ever here."""
        if highest is None or (sequence is not None and sequence >= highest):
            return
        found = "no sequence number" if sequence is None else f"sequence number {sequence}"
        raise DeviceError(RC["DOWNGRADE"], f"{name} has {found}; {highest} has been here")

    def _complain(self, problem: str) -> None:
        if self.policy == "require":
            raise SignatureError(f"{problem}, and this device takes only what a trusted key signed")
        if self.policy == "warn":
            self._log(f"warning: {problem}")


def parse(payload: bytes, what: str) -> _patch.ParsedPatch:
    """A bare `.bkp`'s fields; raises IncompatibleError for bytes that are none."""
    try:
        return _patch.parse(payload)
    except CoreError as error:
        raise patch_error(error, payload, what=what) from error
