"""Kills servers and workers under load, then proves from the outside that nothing was lost or done twice."""
