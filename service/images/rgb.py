"""Decoded images of any mode to RGB: transparency over white, 16 bits a channel scaled to 8."""

import numpy as np
from PIL import Image

GREY = ((np.arange(65536) + 128) // 257).astype(np.uint8)
"""16 bits to 8: 65535 / 257 = 255, rounded to nearest."""


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in RGB; itself where it is that already."""
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit grey to 255 where it has to be scaled.
        grey = np.asarray(image)
        levels = GREY[grey if grey.dtype == np.uint16 else grey.clip(0, 65535)]
        if "transparency" in image.info:  # the grey that is transparent
            levels[grey == image.info["transparency"]] = 255
        return Image.fromarray(levels).convert("RGB")
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        rgb = Image.new("RGB", rgba.size, "white")
        rgb.paste(rgba, mask=rgba)  # alpha_composite would take three copies more
        return rgb
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it
