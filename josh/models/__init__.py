"""Chat models: one small protocol, and what speaks it."""
