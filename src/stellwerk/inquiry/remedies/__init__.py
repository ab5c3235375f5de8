"""Remedies: a catalogue of workflows, which of them fits a cause, and carrying it out."""
