"""Bundles: all that a device which runs an OS needs, in one file, for offline places."""
