"""A checkpoint file or folder in, its architecture and canonical parameters out."""
