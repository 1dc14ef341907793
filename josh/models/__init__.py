"""Chat models: one small protocol, and its implementations."""
