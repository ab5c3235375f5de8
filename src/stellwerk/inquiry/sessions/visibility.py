"""Who sees a session: it may show names and logs of a namespace that is not everybody's."""

from stellwerk.inquiry.sessions.session import Session
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope

OURSELVES = "stellwerk"
"""As whom we open sessions by ourselves."""


def may_see(principal: Principal, session: Session) -> bool:
    """Tell whether a session is shown: to who asked for it, to who may approve remedies, and to all readers
    if we opened it ourselves."""
    shown = shown_to(principal)
    return shown is None or session.by in shown


def shown_to(principal: Principal) -> tuple[str, ...] | None:
    """List whose sessions are shown to a principal; None is everybody's."""
    if principal.may(Scope.INCIDENTS_APPROVE) or principal.administers(Scope.INCIDENTS_READ):
        return None
    return (principal.id, OURSELVES)
