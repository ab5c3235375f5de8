"""Investigations: from a signal to the cause, proven by what the cluster says, and to a remedy."""
