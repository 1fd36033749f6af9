"""The search for patches: strategies propose flips, the engine decides, validation promotes."""
