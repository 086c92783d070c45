"""`SWIN_WORKERS` above 1: worker processes accept and decode for the one that runs the model."""
