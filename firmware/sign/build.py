"""Adds signatures to an environment that asks for them; PlatformIO runs it before the platform's.

    custom_policy = open | warn | require
    custom_trust = DIR      NAME.pub and NAME.revoked, as `bankai-edge keys trust --trust DIR`

An environment without custom_policy gets ../unsigned: it verifies nothing and takes what a device
takes that cannot (bk_signature_gate.h). Relative paths are from firmware/.
"""

from __future__ import annotations

import sys
from pathlib import Path

from SCons.Script import DefaultEnvironment

env = DefaultEnvironment()
FIRMWARE = Path(env.subst("$PROJECT_DIR"))
sys.path.insert(0, str(FIRMWARE / "scripts"))

import firmware_keys  # noqa: E402
import firmware_monocypher  # noqa: E402


def add(policy: str, trust: str) -> None:
    """Compile the curve, its callers and the table of keys into the program."""
    generated = Path(env.subst("$BUILD_DIR")) / "generated" / "sign"
    generated.mkdir(parents=True, exist_ok=True)
    table = firmware_keys.table(policy, FIRMWARE / trust if trust else None)
    out = generated / "bk_sign_built_in.c"
    if not out.is_file() or out.read_text() != table:
        out.write_text(table)
    monocypher = firmware_monocypher.fetch()
    env.Append(CPPPATH=[str(FIRMWARE / "sign")])
    env.Append(CCFLAGS=[("-isystem", str(monocypher))])  # its warnings are not ours
    env.BuildSources("$BUILD_DIR/sign", str(FIRMWARE / "sign"))
    env.BuildSources("$BUILD_DIR/sign/built_in", str(generated))
    env.BuildSources("$BUILD_DIR/sign/monocypher", str(monocypher))


wanted = env.GetProjectOption("custom_policy", "")
if wanted:
    try:
        add(wanted, env.GetProjectOption("custom_trust", ""))
    except (firmware_keys.KeyTableError, firmware_monocypher.FetchError) as error:
        sys.exit(str(error))
else:
    env.BuildSources("$BUILD_DIR/unsigned", str(FIRMWARE / "unsigned"))
