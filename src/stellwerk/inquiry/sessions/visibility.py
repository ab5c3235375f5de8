"""Who sees a session: it may show names and logs of a namespace that is not everybody's."""

from stellwerk.inquiry.sessions.session import Session
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope


def may_see(principal: Principal, session: Session) -> bool:
    """Tell whether a session is shown: to who asked for it, to who may approve remedies, and to all readers
    if we opened it ourselves."""
    return (
        session.automatic
        or session.by == principal.id
        or principal.may(Scope.INCIDENTS_APPROVE)
        or principal.administers(Scope.INCIDENTS_READ)
    )
