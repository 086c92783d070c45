"""Messages of the Open Inference Protocol for gRPC, from the .proto beside (`make proto`)."""
