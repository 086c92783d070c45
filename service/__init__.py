"""Images to Swin Transformer embeddings over HTTP."""
