"""Proofs on real processes."""
