"""What every test may ask for: the shipped model, and data that only developers have."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from support import ROOT

# No deadline: a busy machine is no defect of the code under test.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def nano_path() -> Path:
    """The nano model that ships in the package."""
    from bankai_edge.shipped import NANO

    return NANO


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Test data kept outside the repository; skip where it is absent."""
    data = ROOT.parent / "shared" / "data"
    if not data.is_dir():
        pytest.skip("no ../shared/data: published vocabularies and patches are not shipped")
    return data


@pytest.fixture(scope="session")
def firmware_program() -> Path:
    """The firmware as a program of this machine, under sanitizers."""
    from support.ports.firmware import unsigned

    return unsigned()
