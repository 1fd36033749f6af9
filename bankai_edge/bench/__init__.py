"""What this machine and this engine do: bandwidth, products, tokens, switches, memory."""
