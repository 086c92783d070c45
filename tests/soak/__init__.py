"""Mixed traffic for a while, and a picture of how the service took it."""
