"""ZeroMQ: sockets, addresses and keys."""
