"""The published SDK, unmodified, in an environment of its own."""
