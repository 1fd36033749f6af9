"""A third-party SMP client, unmodified, over a real pty: `smpclient` (smpmgr: test_smpmgr.py)."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import serial
from smpclient import SMPClient
from smpclient.exceptions import SMPUploadError
from smpclient.generics import error, success
from smpclient.requests.enumeration_management import ListSupportedGroups
from smpclient.requests.file_management import FileHashChecksum, FileStatus
from smpclient.requests.os_management import EchoWrite, MCUMgrParametersRead
from smpclient.transport.serial import Auto, BufferParams, BufferSize, SMPSerialTransport

from support import ROOT
from support.link_device import bkp

DEVICE = ROOT / "tests/support/link_device.py"
PATCH = bkp("arith", 1500)
WRONG = bkp("other", 2500, model_id=bytes(32))


@pytest.fixture
def port(request: pytest.FixtureRequest) -> Iterator[str]:
    """The path of a pty behind which a device serves, in its own process."""
    buf_size = str(getattr(request, "param", 1024))
    with subprocess.Popen(
        [sys.executable, str(DEVICE), buf_size], stdout=subprocess.PIPE, text=True
    ) as device:
        assert device.stdout is not None
        try:
            yield device.stdout.readline().strip()
        finally:
            device.kill()


def talk(port: str, strategy: Any, work: Callable[[SMPClient], Coroutine[Any, Any, None]]) -> None:
    async def session() -> None:
        async with SMPClient(SMPSerialTransport(strategy), port) as client:
            await work(client)

    asyncio.run(session())


@pytest.mark.parametrize("port", [128, 256, 1024, 4096], indirect=True)
def test_smpclient_does_the_round(port: str) -> None:
    async def work(client: SMPClient) -> None:
        echo = await client.request(EchoWrite(d="Hello, 世界"))
        assert success(echo) and echo.r == "Hello, 世界"
        params = await client.request(MCUMgrParametersRead())
        assert success(params) and params.buf_count == 4
        offsets = [off async for off in client.upload_file(PATCH, "/bkp/arith.bkp")]
        assert offsets[-1] == len(PATCH) and offsets == sorted(set(offsets))
        digest = await client.request(FileHashChecksum(name="/bkp/arith.bkp"))
        assert success(digest) and digest.output == hashlib.sha256(PATCH).digest()
        assert await client.download_file("/bkp/arith.bkp") == PATCH
        groups = await client.request(ListSupportedGroups())
        assert success(groups) and 0x424B in groups.groups

    talk(port, Auto(), work)


@pytest.mark.parametrize(
    "strategy",
    [BufferSize(512, line_length=64), BufferParams(127, 1), BufferParams(127, 8),
     BufferParams(200, 4)],
    ids=str,
)  # fmt: skip
def test_smpclient_in_other_settings(port: str, strategy: Any) -> None:
    async def work(client: SMPClient) -> None:
        async for _ in client.upload_file(PATCH, "/bkp/arith.bkp"):
            pass
        assert await client.download_file("/bkp/arith.bkp") == PATCH

    talk(port, strategy, work)


def test_smpclient_understands_our_errors(port: str) -> None:
    async def work(client: SMPClient) -> None:
        missing = await client.request(FileStatus(name="/bkp/none.bkp"))
        assert error(missing) and missing.err.rc.name == "FILE_NOT_FOUND"
        bad = await client.request(FileStatus(name="/etc/passwd"))
        assert error(bad) and bad.err.rc.name == "FILE_INVALID_NAME"
        with pytest.raises(SMPUploadError, match="FILE_WRITE_FAILED"):
            async for _ in client.upload_file(WRONG, "/bkp/other.bkp"):
                pass

    talk(port, Auto(), work)


def test_a_human_and_smpclient_share_the_line(port: str) -> None:
    with serial.Serial(port, timeout=5) as line:
        line.write(b"help\r\n")
        assert line.read_until(b"\r\n") == b"you said help\r\n"

    async def work(client: SMPClient) -> None:
        echo = await client.request(EchoWrite(d="and back"))
        assert success(echo) and echo.r == "and back"

    talk(port, Auto(), work)
