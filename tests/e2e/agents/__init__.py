"""Deployment agents as real processes over mutual TLS: killed under load, renewed, their roots rotated."""
