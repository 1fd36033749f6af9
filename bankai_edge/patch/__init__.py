"""Patches: sets of rows, groups or bits of a 1-bit model to flip, and their file format."""

from bankai_edge.patch.bkp import Patch, decode, encode

__all__ = ["Patch", "decode", "encode"]
