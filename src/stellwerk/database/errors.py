"""Failures of the database as callers see them."""


class DatabaseUnavailable(Exception):
    """Say that the database cannot answer now: gone, full, locked or overfull. It recovers by itself.

    The change may or may not have been made if the connection was lost during its commit; otherwise it was
    not.
    """

    def __init__(self, detail: str, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class DatabaseTooNew(Exception):
    """Refuse a database that a newer release has migrated; downgrades are not supported."""


class DatabaseLocked(Exception):
    """Refuse a data directory that another process is using."""


class MigrationChanged(Exception):
    """Refuse a database whose applied migrations differ from those of this release."""


class LockLost(Exception):
    """Undo the unit of work of a former holder of a named lock."""

    def __init__(self, name: str, fence: int) -> None:
        super().__init__(f"The lock {name!r} is no longer held under fence {fence}")
        self.name = name
        self.fence = fence


class WriteRefused(Exception):
    """Refuse a writing statement in a unit that was handed to `read`: a mistake of the program."""
