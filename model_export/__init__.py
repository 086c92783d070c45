"""Swin Transformer checkpoints to self-describing ONNX files."""
