"""Deploying services from the terminal: the commands that speak the conductor interface."""
