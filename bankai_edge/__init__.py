"""bankai-edge: an edge runtime for true 1-bit language models and kilobyte XOR patches."""

__version__ = "0.1.0"
