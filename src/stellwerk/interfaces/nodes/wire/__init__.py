"""Bodies and parameters of the interface, as they travel."""
