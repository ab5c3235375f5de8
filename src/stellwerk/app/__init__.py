"""Assembly: settings → database → subjects → interfaces → listeners, and the way back.

The only place that knows every name. A new subject is made and started in `subjects.py`, a new interface has
its function in `published.py`; nothing else here changes for them.
"""

from stellwerk.app.control_plane import CannotStart, ControlPlane

__all__ = ["CannotStart", "ControlPlane"]
