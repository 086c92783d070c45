"""The same network by PyTorch, as transformers has it: eager, with autocast, compiled."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from model_export.architecture import Architecture
from service.gpu.devices import number


def ways(
    shape: Architecture, precision: str, device: str, sizes: Sequence[int], *, compiled: bool
) -> Iterator[tuple[int, str, Callable[[], object]]]:
    """Batches' sizes, ways to run them, and what runs one, its result on the host.

    Nothing where torch or transformers are missing.

    Args:
        shape: a Swin V1; its weights are random.
        precision: `fp16` is autocast.
        device: as in `SWIN_DEVICE`.
        sizes: images in a batch; pixels cross to the device as bytes and are normalised there.
        compiled: torch.compile too.
    """
    try:
        import torch
        import transformers
    except ModuleNotFoundError:
        return
    configuration = transformers.SwinConfig(
        image_size=shape.image_size,
        embed_dim=shape.channels,
        depths=list(shape.depths),
        num_heads=list(shape.heads),
        window_size=shape.stage_window(0),
    )
    half = precision == "fp16"
    place = torch.device("cpu" if device == "cpu" else f"cuda:{number(device)}")
    network = transformers.SwinModel(configuration).eval().to(place)

    def run(model: Callable[..., Any], batch: torch.Tensor) -> object:
        with torch.inference_mode(), torch.autocast(place.type, torch.float16, enabled=half):
            pixels = batch.to(place, non_blocking=True).permute(0, 3, 1, 2)
            return model((pixels / 255 - 0.45) / 0.225).pooler_output.float().cpu()

    name = "autocast" if half else "eager"
    contenders = {f"torch {name}": network}
    if compiled:
        contenders[f"torch.compile {name}"] = torch.compile(network)
    for size in sizes:
        batch = torch.full((size, shape.image_size, shape.image_size, 3), 128, dtype=torch.uint8)
        if device != "cpu":
            batch = batch.pin_memory()
        for contender, model in contenders.items():
            yield size, contender, partial(run, model, batch)
