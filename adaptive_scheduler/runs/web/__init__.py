"""The live page: a server on loopback that shows runs in a browser."""
