"""The agent's entry in the local network's directory (mDNS), when zeroconf is installed."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address

import ifaddr
from zeroconf import InterfaceChoice, IPVersion, ServiceInfo, Zeroconf

from bankai_edge import __version__
from bankai_edge.host.address import is_loopback
from bankai_edge.host.mdns import SERVICE


class Announcement:
    """Announces (scheme, host, port) places until closed; raises OSError without a network."""

    def __init__(self, places: Sequence[tuple[str, str, int]], model: str) -> None:
        private = all(is_loopback(host) for _, host, _ in places)
        self._zeroconf = Zeroconf(
            interfaces=["127.0.0.1"] if private else InterfaceChoice.All,
            ip_version=IPVersion.V4Only,
        )
        for scheme, host, port in places:
            service = SERVICE[scheme]
            machine = socket.gethostname().partition(".")[0]
            info = ServiceInfo(
                service,
                f"{machine}-{port}.{service}",
                port=port,
                addresses=_addresses(host),
                properties={"model": model[:200], "version": __version__},
                server=f"{machine}.local.",
            )
            self._zeroconf.register_service(info, allow_name_change=True)

    def close(self) -> None:
        """Take the entry back."""
        self._zeroconf.unregister_all_services()
        self._zeroconf.close()


def _addresses(host: str) -> list[bytes]:
    """The addresses at which a listener bound to `host` is reached, packed."""
    try:
        everywhere = ip_address(host).is_unspecified
    except ValueError:
        everywhere = False
    if everywhere:
        ips = [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
        found = [ip for ip in ips if not ip_address(ip).is_loopback]
    else:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, None)]
    return [ip_address(a.partition("%")[0]).packed for a in dict.fromkeys(found)]
