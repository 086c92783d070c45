"""A module for each file format: bytes in, a Pillow image that is not decoded yet out.

Each has `accept`, which knows a file of its format by its first bytes, and `open_image`. A decoder
is handed what pixels need and no more: metadata is read here, and never costs the picture. The
image's `info` may have an `orientation` (1 to 8, as in EXIF) that is still to be applied.
"""
