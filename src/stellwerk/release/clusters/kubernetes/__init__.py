"""A real Kubernetes cluster, over its HTTP API."""
