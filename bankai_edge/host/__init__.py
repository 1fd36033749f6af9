"""The host side of the link: addresses, transports, the SMP client, finding devices."""
