"""Rendering: from templates and parameters to the objects that an application wants."""
