"""Swin Transformer checkpoints to self-describing ONNX files."""

__version__ = "0.1.0"
