"""Certificates of agents from issue to end, and who a presented one stands for."""
