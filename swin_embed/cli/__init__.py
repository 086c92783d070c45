"""The command `swin-embed`: a module for each command, imported when it is asked for."""
