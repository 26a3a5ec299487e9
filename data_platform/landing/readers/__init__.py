"""One module a file format: bytes in, chunks of good rows and rejects out."""
