"""Models and conversations: weights, active patches and the KV cache."""

from bankai_edge.model.session import Session
from bankai_edge.model.weights import Model

__all__ = ["Model", "Session"]
