"""Bundles and images: everything that a device needs, in one file, for offline places."""
