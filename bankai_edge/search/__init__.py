"""Probes, evaluation and the search for patches."""
