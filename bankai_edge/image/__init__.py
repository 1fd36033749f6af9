"""Images: everything that a board needs to start, on one SD card."""
