"""The listeners: what they have in common, and which interfaces each serves."""

from stellwerk.app.published import Publication
from stellwerk.app.subjects import Subjects
from stellwerk.http.access import access_of
from stellwerk.http.auth import Authentication
from stellwerk.http.binding import Bound
from stellwerk.http.body import Bodies
from stellwerk.http.gate import Gate
from stellwerk.http.listener import Listener, Serving
from stellwerk.http.protocol import Connections
from stellwerk.http.tls import Tls


class Listeners:
    """Makes listeners that share their limits."""

    def __init__(self, subjects: Subjects, published: Publication) -> None:
        settings, clock = subjects.settings, subjects.clock
        self._settings = settings
        self._published = published
        self._audit = subjects.audit
        self._authentication = Authentication(subjects.keys, settings.limits, clock)
        self._bodies = Bodies(settings.limits)
        self._serving = Serving(
            settings.limits,
            settings.access,
            Connections(settings.limits.connections),
            settings.server.stop_timeout_s,
            clock,
        )

    def listener(self, bound: Bound, tls: Tls | None) -> Listener:
        """Make the listener of a socket; it does not accept yet."""
        settings = self._settings
        gate = Gate(
            access_of(bound.name, settings.server.host, settings.server, settings.access),
            self._published.by_listener[bound.name],
            fallback=self._published.upkeep.render_problem,
            authentication=self._authentication,
            bodies=self._bodies,
            audit=self._audit,
        )
        return Listener(bound.name, bound.socket, gate, self._serving, tls if bound.secure else None)
