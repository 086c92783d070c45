"""Swin Transformer embeddings from Python and the command line."""
