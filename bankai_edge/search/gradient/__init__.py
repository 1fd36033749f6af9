"""Gradients of flips in PyTorch (the `search` extra)."""
