"""Collecting: what concerns a target is read from its cluster within a budget, masked and kept."""
