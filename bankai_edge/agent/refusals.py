"""How the agent says no: every error of store, codec and session as an rc of group 0x424B."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bankai_edge._link import RC, DeviceError, rc_text
from bankai_edge.agent.store import StoreError
from bankai_edge.errors import BankaiError, CoreError, IncompatibleError, SignatureError

_STORE_RC = {
    "name": "BAD_NAME",
    "absent": "NO_SUCH_PATCH",
    "active": "ACTIVE",
    "full": "NO_SPACE",
    "read_only": "READ_ONLY",
    "damaged": "MALFORMED",
    "io": "IO",
}
# bk_error.h's codes for patches
_CORE_RC: dict[int | None, str] = {
    -3: "VERSION",
    -9: "LIMIT",
    -40: "WRONG_MODEL",
    -41: "UNBOUND",
    -42: "RANGE",
    -43: "BAD_CRC",
    -44: "SIGNATURE",
}


def error_text(error: BankaiError | DeviceError) -> str:
    """An error as one sentence."""
    if isinstance(error, DeviceError):
        return f"{rc_text(error.rc)}: {error.detail}" if error.detail else rc_text(error.rc)
    return str(error)


@contextmanager
def device_errors() -> Iterator[None]:
    """Turn what store, codec and session raise into an rc of our group."""
    try:
        yield
    except BankaiError as error:
        raise as_device_error(error) from error
    except OSError as error:
        raise DeviceError(RC["IO"], str(error)) from error


def as_device_error(error: BankaiError) -> DeviceError:
    """The rc of our group, with the sentence, that stands for an error."""
    if isinstance(error, StoreError):
        return DeviceError(RC[_STORE_RC[error.reason]], error.found)
    if isinstance(error, SignatureError):
        return DeviceError(RC["SIGNATURE"], error.found)
    if isinstance(error, IncompatibleError):
        # The sentence is for people; which rc it is, the core's own refusal beneath it knows.
        core = error.__cause__ or error.__context__
        code = core.code if isinstance(core, CoreError) else None
        return DeviceError(RC[_CORE_RC.get(code, "MALFORMED")], error.found)
    return DeviceError(RC["BAD_ARGUMENT"], str(error))
