"""Layer 0, shared by every zone: what the bytes mean. No sockets, no clock, no files."""
