"""Whole collections of images: embedded to files, resumably; searched; their duplicates found."""
