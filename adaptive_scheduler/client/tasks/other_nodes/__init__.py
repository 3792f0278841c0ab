"""The other nodes of a pool's job: a small program on each, the proxy, is the head's hand there."""
