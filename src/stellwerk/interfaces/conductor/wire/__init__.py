"""Bodies of the interface, by subject."""
