"""Releases: manifests of an application, rendered, planned, applied to a cluster and watched."""
