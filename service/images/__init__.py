"""Bytes of an image file in, uint8 pixels of the model's size out."""
