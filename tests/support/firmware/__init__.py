"""The firmware under test: as a process of this machine, and on emulated chips."""
