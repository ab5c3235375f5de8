"""Balancing: eight ways to choose among connected holders; each module defines one and says so in its
docstring.

Whatever the strategy, only holders that match, that accept work and that have free capacity are chosen
among.
"""
