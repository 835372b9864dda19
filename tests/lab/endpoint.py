"""An address and a port, as sockets have them."""

Endpoint = tuple[str, int]
