"""The journal: one append-only, ordered, resumable stream of everything that happened."""
