"""Probes: the nano's domains, probe files and built-in sets, cut into packs and questions."""
