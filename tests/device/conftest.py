"""A device of every port, and what it is told apart by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bankai_edge.model import Model
from support.direct import Direct
from support.ports import Port, Running, Setting


@pytest.fixture(scope="session")
def model(nano_path: Path) -> Model:
    """The model that every port runs, pristine."""
    return Model(nano_path)


@pytest.fixture
def running(port: Port, tmp_path: Path, nano_path: Path) -> Iterator[Running]:
    """The port's device, with an empty store, that takes any patch."""
    with port.start(Setting(tmp_path, nano_path)) as device:
        yield device


@pytest.fixture
def device(running: Running) -> Direct:
    """The same, by commands."""
    return Direct(running, chunk_bytes=200)
