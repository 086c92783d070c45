"""A Swin Transformer as ONNX nodes, and the same in NumPy to compare with."""
