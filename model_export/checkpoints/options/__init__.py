"""Every option of the libraries' Swins and of their configuration files: what the exporter does.

An option is read, or must have the value that is computed with, or changes no embedding, for the
reason given. Whatever is not in these tables is refused by name. docs/checkpoints.md shows them.
"""
