"""`bankai-edge image`: files that bring a whole device to a place with no network."""

from __future__ import annotations

import click

from bankai_edge.cli.lazy import LazyGroup

VERBS: dict[str, tuple[str, str, str]] = {
    "build": ("image_build", "build", "Make a bootable image for an empty SD card."),
    "bundle": ("image_bundle", "bundle", "Make one file for a device that runs an OS."),
    "inspect": ("image_bundle", "inspect", "Show what a bundle holds; check every byte of it."),
    "install": ("image_install", "install", "Install a bundle on this device, offline."),
    "rollback": ("image_install", "rollback", "Return to the version installed before."),
}


@click.group(cls=LazyGroup, verbs=VERBS)
def image() -> None:
    """Make, look into and install bundles and SD card images."""
