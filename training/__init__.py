"""How the default model was trained, from images that a program draws, and how good it is."""
