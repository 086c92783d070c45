"""A float32 graph in, an int8 or fp16 graph out."""
