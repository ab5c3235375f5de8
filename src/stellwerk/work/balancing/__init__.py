"""Balancing: the eight strategies that choose among connected holders."""
