"""Images made to do harm, and a client that posts them."""
