"""The ports there are."""

from __future__ import annotations

import pytest

from support.ports import Ability, Port, firmware, linux, qemu

PORTS: tuple[Port, ...] = (*linux.PORTS, *firmware.PORTS, *qemu.PORTS)


def on(*needs: Ability) -> pytest.MarkDecorator:
    """A test for every port that can do this."""
    able = [port for port in PORTS if port.can.issuperset(needs)]
    return pytest.mark.parametrize("port", able, ids=[port.name for port in able])
