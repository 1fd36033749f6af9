"""What the tests of the search share: the nano on one thread."""

from __future__ import annotations

from pathlib import Path

import pytest

from bankai_edge.model import Model


@pytest.fixture(scope="session")
def model(nano_path: Path) -> Model:
    return Model(nano_path, threads=1)
