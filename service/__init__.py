"""Images to Swin Transformer embeddings over HTTP."""

import model_export  # noqa: F401 - before anything imports onnxruntime: turns off its telemetry
