"""HEIC: the tables of its files, what the primary image is made of, and its reader."""
