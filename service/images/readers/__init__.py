"""A module for each file format: bytes in, a Pillow image that is not decoded yet out.

Each has `open_image`. A decoder is handed only what pixels need: metadata is read here, and damaged
metadata does not cost the picture. The image's `info` may have an `orientation` (1 to 8, as in
EXIF) that is still to be applied.
"""
