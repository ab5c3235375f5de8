"""Investigations as durable sessions: from the signal to the stored result."""
