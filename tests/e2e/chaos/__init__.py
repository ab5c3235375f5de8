"""Faults of every part under load, and a checker that proves from the outside what they did not do."""
