"""Deployment agents: members of the fleet that hold a certificate and act on machines."""
