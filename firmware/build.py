"""What every environment adds to its program: core, device, chip, store, model or switcher.

An environment names its folders of ports/ in `custom_ports`, the tokens of its context in
`custom_ctx`, the columns whose look-up tables it keeps in `custom_panel`, the folder that answers
for the weights in `custom_runtime` (session or switcher), and may name another model in
`custom_model`. Run by PlatformIO before the platform's own script.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from SCons.Script import DefaultEnvironment

env = DefaultEnvironment()
FIRMWARE = Path(env.subst("$PROJECT_DIR"))
ROOT = FIRMWARE.parent
PORTS = FIRMWARE / "ports"
sys.path.append(str(ROOT / "cython_ext"))

import core_build as core  # noqa: E402


def add_model() -> None:
    """Let model.S find the GGUF, and be assembled again when it changes."""
    model = Path(env.GetProjectOption("custom_model", str(ROOT / "bankai_edge/shipped/nano.gguf")))
    model = model if model.is_absolute() else FIRMWARE / model
    if not model.is_file():
        sys.exit(f"{model} is not there; custom_model in platformio.ini names the GGUF to link.")
    env.Append(CPPDEFINES=[("BK_MODEL_FILE", f'\\"{model}\\"')])
    env.Depends(f"$BUILD_DIR/ports/{chips[0]}/model.o", str(model))


def c_bytes(data: bytes) -> str:
    """An initialiser."""
    return "{" + ",".join(str(byte) for byte in data) + "}"


def add_golden() -> None:
    """For tests: the hashes that every CPU must reproduce, and the patch that they are of."""
    golden = json.loads((ROOT / "tests/golden/nano.json").read_text())
    lines = ["/* Generated from tests/golden/nano.json and the shipped arith.bkp. */",
             "typedef struct { const char *prompt; uint8_t plain[32], arith[32]; } golden_case;",
             "static const golden_case golden[] = {"]  # fmt: skip
    for case in golden["cases"]:
        plain, arith = (c_bytes(bytes.fromhex(case[name])) for name in ("plain", "arith"))
        lines.append(f"    {{{json.dumps(case['prompt'])}, {plain}, {arith}}},")
    patch = (ROOT / "bankai_edge/shipped/arith.bkp").read_bytes()
    lines += [
        "};",
        f"enum {{ N_GOLDEN = {len(golden['cases'])} }};",
        f"static const uint8_t golden_model_id[32] = {c_bytes(bytes.fromhex(golden['model_id']))};",
        f"static const uint8_t golden_patch[{len(patch)}] = {c_bytes(patch)};",
    ]
    header = Path(env.subst("$BUILD_DIR")) / "generated" / "golden.h"
    header.parent.mkdir(parents=True, exist_ok=True)
    header.write_text("\n".join(lines) + "\n")
    env.Append(CPPPATH=[str(header.parent)])


def add_sizes() -> None:
    """What RAM goes to: told to the compiler, and printed once the program is linked."""
    ctx, panel = env.GetProjectOption("custom_ctx"), env.GetProjectOption("custom_panel")
    env.Append(CPPDEFINES=[("BK_CTX", int(ctx)), ("BK_LUT_PANEL", int(panel))])
    if "cortex_m" not in chips:
        return  # whose toolchain it is that knows
    # As symbols of the program, so that its plan can be told from it alone.
    env.Append(
        LINKFLAGS=[f"-Wl,--defsym=bk_build_ctx={ctx}", f"-Wl,--defsym=bk_build_panel={panel}"]
    )
    tool = f'"$PYTHONEXE" "{FIRMWARE / "scripts" / "firmware_ram.py"}" $TARGET'
    env.AddPostAction(
        "$BUILD_DIR/firmware.elf", env.VerboseAction(tool, "RAM and flash of $TARGET")
    )


def add_core() -> None:
    """Core, device and a chip's kernels, as Meson's lists have them."""
    env.Append(CFLAGS=[core.DIALECT], CCFLAGS=[*core.FLOAT_FLAGS, *core.include()])
    own = [*core.of_device(runtime), *core.kernels("cortex_m")]
    names = [f"+<{source.relative_to(core.HERE)}>" for source in own]
    env.BuildSources("$BUILD_DIR/core", str(core.HERE), ["-<*>", *names])


chips = env.GetProjectOption("custom_ports").split()
runtime = FIRMWARE / env.GetProjectOption("custom_runtime")
env.Append(
    CPPPATH=[str(FIRMWARE / "include"), *(str(PORTS / chip) for chip in chips)],
    LIBPATH=[str(PORTS / chip) for chip in chips],
)
add_core()
if runtime.name == "session":
    add_model()
if "test" in env.GetBuildType():
    add_golden()
add_sizes()
no_model = ["-<model.S>", "-<place_model.c>"] if runtime.name == "switcher" else []
for chip in chips:
    env.BuildSources(f"$BUILD_DIR/ports/{chip}", str(PORTS / chip), ["+<*>", *no_model])
env.BuildSources(f"$BUILD_DIR/{runtime.name}", str(runtime))
env.BuildSources("$BUILD_DIR/store", str(FIRMWARE / "store"))
script = PORTS / chips[-1] / "link.ld"
if script.is_file():
    env.Replace(LDSCRIPT_PATH=str(script))
if "cortex_m" in chips:  # bare; elsewhere a vendor's system lies below, with warnings of its own
    env.Append(CFLAGS=[*core.FLAGS, *core.WARNINGS])
