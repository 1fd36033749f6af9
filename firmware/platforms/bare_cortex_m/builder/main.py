"""Build a program for a bare Cortex-M: compiler, flags, program image, and what to do with it."""

from __future__ import annotations

from SCons.Script import AlwaysBuild, Builder, Default, DefaultEnvironment

env = DefaultEnvironment()
board = env.BoardConfig()
TOOL = "arm-none-eabi-"
MACHINE = ["-mthumb", f"-mcpu={board.get('build.cpu')}", *board.get("build.machine_flags", [])]

env.Replace(
    AR=f"{TOOL}gcc-ar",
    AS=f"{TOOL}gcc",
    CC=f"{TOOL}gcc",
    CXX=f"{TOOL}g++",
    LINK=f"{TOOL}gcc",
    OBJCOPY=f"{TOOL}objcopy",
    RANLIB=f"{TOOL}gcc-ranlib",
    SIZETOOL=f"{TOOL}size",
    ARFLAGS=["rc"],
    PROGNAME="firmware",
    PROGSUFFIX=".elf",
    SIZEPROGREGEXP=r"^\.(?:vectors|text|rodata|data|model|ARM\.exidx)\s+(\d+).*",
    SIZEDATAREGEXP=r"^\.(?:data|bss|stack)\s+(\d+).*",
    SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
    SIZEPRINTCMD="$SIZETOOL -A -d $SOURCES",
)
env.Append(
    ASFLAGS=MACHINE,
    ASPPFLAGS=["-x", "assembler-with-cpp"],
    CCFLAGS=MACHINE,
    LINKFLAGS=[*MACHINE, "-nostartfiles", "--specs=nano.specs", "-Wl,--gc-sections",
               "-Wl,--no-warn-rwx-segments", "-Wl,-Map,$BUILD_DIR/firmware.map"],
    BUILDERS={
        "ElfToBin": Builder(
            action=env.VerboseAction("$OBJCOPY -O binary $SOURCES $TARGET", "Building $TARGET"),
            suffix=".bin",
        )
    },
)  # fmt: skip

elf = env.BuildProgram()
AlwaysBuild(env.Alias("nobuild", elf))
image = env.ElfToBin("$BUILD_DIR/${PROGNAME}", elf)
env.AddPlatformTarget(
    "size", elf, env.VerboseAction("$SIZEPRINTCMD", "Calculating size $SOURCE"), "Program Size"
)
env.AddPlatformTarget("bin", image, None, "Raw image")
env.AddPlatformTarget("upload", elf, env.VerboseAction("$UPLOADCMD", "Uploading $SOURCE"), "Upload")
Default([env.Alias("buildprog", elf, elf), "size"])
