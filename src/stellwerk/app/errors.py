"""Why a process does not come up."""


class CannotStart(Exception):
    """The control plane cannot start; the message says what would help."""
