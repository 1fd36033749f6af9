"""The ways in which bankai-edge says no: one sentence each, and one exit code per kind."""

from __future__ import annotations


class BankaiError(Exception):
    """An operation failed. Carries what was found, what was expected, what to do next.

    The three parts are joined into the one message that the command line prints; `exit_code` is
    what it returns to the shell.
    """

    exit_code = 1

    def __init__(self, found: str, *, expected: str = "", next_step: str = "") -> None:
        self.found = found
        self.expected = expected
        self.next_step = next_step
        message = found
        if expected:
            message += f"; expected {expected}"
        if next_step:
            message += f". {next_step}"
        super().__init__(message)


class UsageError(BankaiError):
    """The call itself is wrong (exit 2)."""

    exit_code = 2


class NoDeviceError(BankaiError):
    """No device answers at the address given, or none was found (exit 3)."""

    exit_code = 3


class IncompatibleError(BankaiError):
    """A wrong model, format, version or row (exit 4)."""

    exit_code = 4


class SignatureError(BankaiError):
    """A signature is absent, wrong or not trusted (exit 5)."""

    exit_code = 5


class DeviceTimeoutError(BankaiError):
    """A device is there but did not answer in time (exit 6)."""

    exit_code = 6


class CoreError(Exception):
    """The C core's refusal: `code` is a negative value of `bk_error`, named by `_facts.Err`.

    `detail` names the key, tensor or offset when the core knows it. Rooms above turn this into a
    sentence; a user never sees it bare.
    """

    def __init__(self, code: int, detail: str = "") -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"core error {code}{': ' + detail if detail else ''}")
