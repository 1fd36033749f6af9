"""The command line: one file per family of verbs, and the only room that prints."""
