"""Bodies and frames as they are sent: names in camel case, instants like `2026-01-10T14:23:45Z`."""
