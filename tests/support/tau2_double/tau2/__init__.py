"""A small double of tau2-bench: its interface, as josh uses it, over two domains of its own."""

__version__ = "1.0.1"
