"""GPUs: what can be had, what onnxruntime is asked for on them, and how batches run there."""
