"""Counters are kept in slots, so that no row is hot where many connections write; reading sums them."""

from stellwerk.database.unit import Sql, Unit

_READ = """
SELECT name, CAST(SUM(n) AS BIGINT) FROM counters WHERE substr(name, 1, $2) = $1
GROUP BY name ORDER BY name"""


def read_counters(prefix: str) -> Unit[dict[str, int]]:
    """Return the counters whose names start with the prefix, summed over their slots."""
    rows = yield Sql(_READ, (prefix, len(prefix)))
    return {str(name): int(n) for name, n in rows}
