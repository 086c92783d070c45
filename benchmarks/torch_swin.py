"""The same network by PyTorch, as transformers has it.

    python -m benchmarks.torch_swin NAME --output FOLDER

writes it with seeded weights as people have it: config.json and model.safetensors, and model.onnx,
which is torch.onnx.export's.
"""

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from model_export.catalog import find
from model_export.checkpoints.seeded import seeded
from model_export.network.architecture import Architecture
from model_export.network.parameters import Tensors
from service.engine.gpu.devices import number

RENAMES = (
    (r"^linear_embedding\.norm\.", "embeddings.norm."),
    (r"^linear_embedding\.", "embeddings.patch_embeddings.projection."),
    (r"^norm\.", "layernorm."),
    (r"^stages\.", "encoder.layers."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attention\.relative", ".attention.relative_position_bias.relative"),
    (r"\.attention\.projection\.", ".attention.o_proj."),
)


def network(shape: Architecture, tensors: Tensors) -> Any:  # noqa: ANN401 - torch may be missing
    """Transformers' SwinModel of a V1, with these weights."""
    import torch
    import transformers

    configuration = transformers.SwinConfig(
        image_size=shape.image_size,
        patch_size=shape.patch_size,
        embed_dim=shape.channels,
        depths=list(shape.depths),
        num_heads=list(shape.heads),
        window_size=shape.windows[0],
    )
    model = transformers.SwinModel(configuration).eval()
    state = {name: torch.from_numpy(tensor) for name, tensor in _renamed(tensors)}
    model.load_state_dict(state, strict=True)
    return model


def _renamed(tensors: Tensors) -> Iterator[tuple[str, np.ndarray]]:
    """Tensors by transformers' names."""
    for canonical, tensor in tensors.items():
        if merging := re.match(r"stages\.(\d+)\.patch_merging\.(.*)", canonical):
            # Theirs belongs to the stage that it ends, ours to the one that it starts.
            yield f"encoder.layers.{int(merging[1]) - 1}.downsample.{merging[2]}", tensor
            continue
        name = canonical
        for pattern, replacement in RENAMES:
            name = re.sub(pattern, replacement, name)
        if ".qkv." in name:
            for part, third in zip("qkv", np.split(tensor, 3), strict=True):
                yield name.replace(".qkv.", f".{part}_proj."), third
        else:
            yield name, tensor


def ways(
    shape: Architecture, precision: str, device: str, sizes: Sequence[int], *, compiled: bool
) -> Iterator[tuple[int, str, Callable[[], object]]]:
    """Batches' sizes, ways to run them, and what runs one, its result on the host.

    Nothing where torch or transformers are missing.

    Args:
        shape: a Swin V1; its weights are seeded.
        precision: `fp16` is autocast.
        device: as in `SWIN_DEVICE`.
        sizes: images in a batch; pixels cross to the device as bytes and are normalised there.
        compiled: torch.compile too.
    """
    try:
        import torch

        model = network(shape, seeded(shape).tensors)
    except ModuleNotFoundError:
        return
    half = precision == "fp16"
    place = torch.device("cpu" if device == "cpu" else f"cuda:{number(device)}")
    model = model.to(place)

    def run(model: Callable[..., Any], batch: torch.Tensor) -> object:
        with torch.inference_mode(), torch.autocast(place.type, torch.float16, enabled=half):
            pixels = batch.to(place, non_blocking=True).permute(0, 3, 1, 2)
            return model((pixels / 255 - 0.45) / 0.225).pooler_output.float().cpu()

    name = "autocast" if half else "eager"
    contenders = {f"torch {name}": model}
    if compiled:
        contenders[f"torch.compile {name}"] = torch.compile(model)
    for size in sizes:
        batch = torch.full((size, shape.image_size, shape.image_size, 3), 128, dtype=torch.uint8)
        if device != "cpu":
            batch = batch.pin_memory()
        for contender, one in contenders.items():
            yield size, contender, partial(run, one, batch)


def write(shape: Architecture, folder: Path) -> None:
    """Write the network for transformers, and as `torch.onnx.export` has it."""
    import torch

    model = network(shape, seeded(shape).tensors)
    model.save_pretrained(folder)

    class Embedding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.swin = model

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.swin(pixels).pooler_output

    torch.onnx.export(
        Embedding().eval(),
        (torch.zeros(1, 3, shape.image_size, shape.image_size),),
        str(folder / "model.onnx"),
        input_names=["pixels"],
        dynamo=False,  # its newer exporter fails on this model (torch 2.13, transformers 5.23)
    )


def main() -> None:
    """Write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torch_swin", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", help="a Swin V1 of the catalogue")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args()
    write(find(options.name).architecture, options.output)


if __name__ == "__main__":
    main()
