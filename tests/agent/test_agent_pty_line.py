"""The software serial cable that the demo and the end-to-end tests hang on."""

from __future__ import annotations

import os
import time

from bankai_edge.host.serial_port import open_serial
from support.cable import CutCable


def test_every_byte_value_passes_both_ways_unchanged() -> None:
    every = bytes(range(256)) * 8
    with CutCable() as cable:
        ends = [open_serial(path, 115200) for path in (cable.agent_path, cable.host_path)]
        for sender, receiver in (ends, ends[::-1]):
            sender.write(every)
            seen = b""
            deadline = time.monotonic() + 10
            while len(seen) < len(every) and time.monotonic() < deadline:
                seen += receiver.read(0.1)
            assert seen == every
        assert cable.to_agent_bytes == cable.to_host_bytes == len(every)
        for end in ends:
            end.close()


def test_a_cut_is_exact_and_mends() -> None:
    with CutCable() as cable:
        agent, host = (open_serial(path, 115200) for path in (cable.agent_path, cable.host_path))
        cable.cut_after(3)
        host.write(b"abcdef")
        time.sleep(0.1)
        assert agent.read(0.5) == b"abc"
        agent.write(b"lost")
        assert host.read(0.1) == b""
        cable.mend()
        host.write(b"xyz")
        assert agent.read(0.5) == b"xyz"


def test_nobody_reading_neither_blocks_the_close_nor_the_other_way() -> None:
    with CutCable() as cable:
        host = open_serial(cable.host_path, 115200)
        for _ in range(4):
            host.write(bytes(1000))
        agent = os.open(cable.agent_path, os.O_RDWR | os.O_NOCTTY)
        os.write(agent, b"hello")
        assert host.read(5) == b"hello"
        os.close(agent)
        host.close()
