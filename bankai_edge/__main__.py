"""`python -m bankai_edge` is `bankai-edge`."""

from bankai_edge.cli.main import main

main()
