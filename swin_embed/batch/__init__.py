"""Whole collections of images: embedding to files, resuming, searching, finding duplicates."""
