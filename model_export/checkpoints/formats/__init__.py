"""A checkpoint's bytes in, named tensors out; nothing in a file is run."""
