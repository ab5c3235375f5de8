"""What asyncpg's exceptions mean to callers: come back later, try again here, or a mistake."""

import asyncio

import asyncpg

from stellwerk.database.errors import DatabaseUnavailable

_AGAIN = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)

_TEMPORARY = (
    *_AGAIN,
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    # What asyncpg says when its connection dies at the wrong moment.
    asyncpg.InternalClientError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    # The primary has become a standby; the name will soon lead to the new primary.
    asyncpg.ReadOnlySQLTransactionError,
    # The role or the database is gone, or its password has changed: an operator's business, and it passes.
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


LOST = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)
"""What the first statement on a dead connection raises."""


def worth_another_try(error: BaseException) -> bool:
    """Whether the same unit, begun afresh, may well succeed: others were in its way."""
    return isinstance(error, _AGAIN)


def is_refused_write(error: BaseException) -> bool:
    """Whether a read-only transaction was asked to write."""
    return isinstance(error, asyncpg.ReadOnlySQLTransactionError)


def unavailable(error: BaseException) -> DatabaseUnavailable | None:
    """Return what callers are told of a temporary failure of the world; None for the statement's own."""
    if not isinstance(error, _TEMPORARY) and not _is_closed_connection(error):
        return None
    full = isinstance(error, asyncpg.DiskFullError)
    text = str(error) or type(error).__name__
    told = DatabaseUnavailable(f"PostgreSQL does not answer ({text})", 10 if full else 1)
    told.__cause__ = error
    return told


def _is_closed_connection(error: BaseException) -> bool:
    # asyncpg has one class for its misuse and for a connection that has been closed under us.
    return isinstance(error, asyncpg.InterfaceError) and "closed" in str(error)
