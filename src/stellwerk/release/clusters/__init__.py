"""Clusters that applications are released to: one interface, and what stands behind it."""
