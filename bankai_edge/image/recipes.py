"""What differs from board to board in an image. boards/*.toml say which files it is made of; here
stands which kernel modules a board needs, what its firmware is told, and how far that is proven.

Module lists are in no special order (what a module depends on is loaded before it), and a module
that the kernel has built in needs no mention. `early` ones are in the initramfs: without them the
root is not found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bankai_edge import boards
from bankai_edge.errors import UsageError

FIRMWARE = "raspi-firmware"
_PI_EARLY = ("bcm2835", "sdhci-iproc")
_PI_LATE = ("raspberrypi-cpufreq", "bcm2835-rng", "bcm2835_wdt")
_PI_USB_NETWORK = ("dwc2", "phy-generic", "smsc95xx", "lan78xx")

UART0 = "/soc/serial@7e201000"  # the PL011
UART1 = "/soc/serial@7e215040"  # the mini-UART, which changes its speed with the GPU's clock
UART0_PINS = "/soc/gpio@7e200000/uart0_gpio14"


@dataclass(frozen=True)
class Recipe:
    """One board's part of an image. `console` takes the kernel's words, never the agent's UART.

    The first group is this module's, the second the board's own file.
    """

    board: str
    status: str  # how far this recipe has been proven
    free_pl011: bool = False  # take the PL011 from Bluetooth and give it the header's pins
    early: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    config_txt: tuple[str, ...] = ()

    kernel: str = ""  # a package name, as apt takes it
    firmware: tuple[str, ...] = ()  # files of raspi-firmware that the boot ROM or EEPROM asks for
    device_trees: tuple[str, ...] = ()  # below the kernel's folder of device trees
    uart: str = ""
    console: tuple[str, ...] = ()


_CONFIG = (
    "arm_64bit=1",
    "kernel=vmlinuz",
    "initramfs initramfs.gz followkernel",
    "upstream_kernel=1",
    "enable_uart=1",
    "disable_splash=1",
    "boot_delay=0",
)
_EMULATED = "booted under QEMU; what runs before the kernel is untested, and so is real hardware"
_BY_RECIPE = "built by the same recipe as rpi3; never booted"

_RPI3 = Recipe(
    board="rpi3",
    status=_EMULATED,
    free_pl011=True,
    early=_PI_EARLY,
    late=(*_PI_LATE, "bcm2835_thermal"),
    network=_PI_USB_NETWORK,
    config_txt=_CONFIG,
)
RECIPES = {
    recipe.board: recipe
    for recipe in (
        Recipe(
            board="qemu-virt",
            status="booted under QEMU",
            early=("virtio_mmio", "virtio_pci", "virtio_blk", "virtio_console"),
            network=("virtio_net",),
        ),
        _RPI3,
        replace(_RPI3, board="rpi-zero2w", status=_BY_RECIPE, network=()),
        Recipe(
            board="rpi4",
            status=_BY_RECIPE,
            free_pl011=True,
            early=(*_PI_EARLY, "fixed", "gpio-regulator", "reset-raspberrypi"),
            late=(*_PI_LATE, "bcm2711_thermal", "iproc-rng200"),
            network=("genet", "mdio-bcm-unimac", "broadcom"),
            config_txt=_CONFIG,
        ),
        Recipe(
            board="rpi5",
            status="never booted, in QEMU neither, which has no such board; the agent is on the "
            "three-pin debug UART",
            early=("sdhci-brcmstb", "fixed", "gpio-regulator"),
            late=("raspberrypi-cpufreq", "bcm2835_wdt", "iproc-rng200"),
            config_txt=_CONFIG,
        ),
    )
}


def recipe_of(board: str) -> Recipe:
    """The recipe of a board; raises UsageError that lists the boards that have one."""
    recipe = RECIPES.get(board)
    files = boards.find(board).image if recipe else None
    if recipe is None or files is None:
        raise UsageError(
            f"no image is known for the board {board!r}", expected=f"one of: {', '.join(RECIPES)}"
        )
    return replace(
        recipe,
        kernel=files.kernel,
        firmware=files.firmware,
        device_trees=files.device_trees,
        uart=files.uart,
        console=files.console,
    )
