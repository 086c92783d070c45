"""Images in, vectors out: the queue, the streams and the model they run. No HTTP here."""
