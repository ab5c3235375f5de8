"""Watching what is deployed: health with reasons, drift and its repair, warnings of the cluster."""
