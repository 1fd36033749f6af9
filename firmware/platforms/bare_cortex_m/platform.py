"""The platform: what is on the PATH is used; what is not comes from PlatformIO's registry."""

from __future__ import annotations

import shutil
from typing import Any

from platformio.platform.base import PlatformBase

PROGRAMS = {"toolchain-gccarmnoneeabi": "arm-none-eabi-gcc", "tool-openocd": "openocd"}


class Bare_cortex_mPlatform(PlatformBase):  # PlatformIO makes the name
    """Asks for a package only when it is needed and its program is nowhere."""

    def configure_default_packages(self, options: dict[str, Any], targets: list[str]) -> Any:
        """Called before a build or an upload."""
        needed = ["toolchain-gccarmnoneeabi"]
        if "upload" in targets and "openocd" in str(options.get("upload_command", "")):
            needed.append("tool-openocd")
        for package in needed:
            if shutil.which(PROGRAMS[package]) is None:
                self.packages[package]["optional"] = False
        return super().configure_default_packages(options, targets)
