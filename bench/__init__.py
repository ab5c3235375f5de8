"""Measures the real server: `python -m bench` prints and writes every figure beside its ceiling."""
