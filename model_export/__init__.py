"""Swin Transformer checkpoints to self-describing ONNX files."""

import os

__version__ = "0.1.0"

# From 1.29 on onnxruntime reports its use to its maker unless told not to before it is imported
# (microsoft/onnxruntime#27379). Models and images are our users' business.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
