"""Let PlatformIO build the firmware without its registry: give it pip's SCons as its own.

    python firmware/scripts/firmware_seed.py

PlatformIO runs `python CORE_DIR/packages/tool-scons/scons.py` and, before, asks whether a package
of that name with a version that it accepts is installed there; it fetches one only if not. This
writes such a package: a few lines that call the SCons of this Python. Where PlatformIO's registry
can be reached, nothing of this is needed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

FIRMWARE = Path(__file__).resolve().parent.parent
SHIM = """\
import sys

from SCons.Script.Main import main

sys.exit(main())
"""


def core_dir() -> Path:
    """PlatformIO's own folder: of the variable that names it, or of the project's file."""
    from platformio.project.config import ProjectConfig

    named = os.environ.get("PLATFORMIO_CORE_DIR")
    if named:
        return Path(named)
    os.chdir(FIRMWARE)
    return Path(ProjectConfig.get_instance().get("platformio", "core_dir"))


def wanted_version() -> str:
    """The version of tool-scons that this PlatformIO asks for, without its range sign."""
    from platformio.dependencies import get_core_dependencies

    return str(get_core_dependencies()["tool-scons"]).lstrip("~^=")


def own_version() -> str:
    """The same number for this Python's SCons: 4.11.1 is 4.41101.0."""
    import SCons

    major, minor, patch = (int(part) for part in SCons.__version__.split(".")[:3])
    return f"4.{major}{minor:02d}{patch:02d}.0"


def seed(package: Path, version: str) -> None:
    """Write the package that calls SCons."""
    package.mkdir(parents=True, exist_ok=True)
    about = {"name": "tool-scons", "version": version, "system": "*", "description": "pip's SCons"}
    spec = {"owner": "platformio", "id": None, "name": "tool-scons"}
    installed = {"type": "tool", "name": "tool-scons", "version": version,
                 "spec": {**spec, "requirements": None, "uri": None}}  # fmt: skip
    (package / "package.json").write_text(json.dumps(about))
    (package / ".piopm").write_text(json.dumps(installed))
    (package / "scons.py").write_text(SHIM)


def be_quiet(core: Path) -> None:
    """No telemetry, no look for upgrades, unless the user has chosen otherwise."""
    from platformio import __version__

    path = core / "appstate.json"
    state = json.loads(path.read_text()) if path.is_file() else {"last_version": __version__}
    settings = state.setdefault("settings", {})
    settings.setdefault("enable_telemetry", False)
    settings.setdefault("check_platformio_interval", 36500)  # days
    core.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(state))


def main() -> int:
    """Seed; exit code 1 if PlatformIO or SCons is missing or they do not fit."""
    try:
        core, want, have = core_dir(), wanted_version(), own_version()
    except ImportError as error:
        print(f"{error}; expected PlatformIO and SCons in {sys.executable}: "
              "pip install -r firmware/requirements.txt", file=sys.stderr)  # fmt: skip
        return 1
    if have != want:
        print(f"SCons is {have} in PlatformIO's numbers, {want} is expected: "
              "pip install -r firmware/requirements.txt", file=sys.stderr)  # fmt: skip
        return 1
    seed(core / "packages" / "tool-scons", want)
    be_quiet(core)
    print(f"PlatformIO builds with this Python's SCons: {core}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
