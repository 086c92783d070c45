"""The seed example of the paper's text, as an ordinary model: what most tests run on.

A 32 x 32 image at patch 4 is 8 x 8 tokens, C = 64, in windows of M = 4; patch merging makes 4 x 4
tokens of 128 channels, which are one window. Exporting it takes a tenth of a second:

    export(SMALL_MODEL, seeded(SMALL_MODEL.architecture), path)
"""

from dataclasses import replace

from model_export.catalog import Entry, imagenet
from model_export.network.architecture import Architecture

SMALL_MODEL = Entry(
    Architecture(
        name="swin_small_example_patch4_window4_32",
        image_size=32,
        channels=64,
        depths=(2, 2),
        heads=(2, 4),
        windows=(4, 4),
    ),
    imagenet(32, resize=36),
)

SMALL_MODEL_V2 = replace(
    SMALL_MODEL,
    architecture=replace(
        SMALL_MODEL.architecture, name="swinv2_small_example_window4_32", version=2
    ),
)
"""The same with Swin V2's parts."""
