"""Search strategies, a file each; table.py lists them."""
