"""Devices that announce themselves on the local network; needs zeroconf, an optional extra."""

from __future__ import annotations

import importlib.util
import time

from bankai_edge.host.address import Address

SERVICE = {"udp": "_bankai-edge._udp.local.", "tcp": "_bankai-edge._tcp.local."}
BROWSE_S = 1.0
QUIET_S = 0.4  # answers come within this, or not at all


def available() -> bool:
    """True when zeroconf is installed."""
    return importlib.util.find_spec("zeroconf") is not None


def browse(browse_s: float = BROWSE_S) -> list[tuple[Address, str]]:
    """What announces itself: addresses and the name that each goes by. [] without a network."""
    from zeroconf import IPVersion, ServiceBrowser, ServiceListener, Zeroconf

    names: dict[tuple[str, str], None] = {}

    class Names(ServiceListener):
        def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
            names[(type_, name)] = None

        def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
            names.pop((type_, name), None)

        def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
            pass

    try:
        zeroconf = Zeroconf(ip_version=IPVersion.V4Only)
    except OSError:
        return []
    found = []
    try:
        browser = ServiceBrowser(zeroconf, list(SERVICE.values()), Names())
        time.sleep(browse_s)
        for type_, name in sorted(names):
            info = zeroconf.get_service_info(type_, name, timeout=int(QUIET_S * 1000))
            if info is None or not info.parsed_addresses():
                continue
            kind = "tcp" if type_ == SERVICE["tcp"] else "udp"
            address = Address(kind, info.parsed_addresses()[0], port=info.port or 0)
            found.append((address, name.removesuffix("." + type_)))
        browser.cancel()
    finally:
        zeroconf.close()
    return found
