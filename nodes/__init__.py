"""The node classes, listed for the host."""

NODES = []
