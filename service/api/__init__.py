"""HTTP and gRPC requests in, answers out: one module for each API (a door)."""
