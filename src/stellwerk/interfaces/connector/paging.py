"""Pages of agents.

A page ends behind an agent, never between its versions, and the next one begins behind its id: what joins or
leaves in between moves nobody from one page into another.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from stellwerk.fleet.model import AgentView
from stellwerk.interfaces.connector.wire import PageQuery


@dataclass(frozen=True, slots=True)
class Page:
    """Some agents of a list."""

    views: Sequence[AgentView]
    versions: int
    """How many versions all agents of the list have, those of other pages too."""
    next: str | None
    """Behind which agent the next page begins; None where nothing follows."""


def page_of(views: Sequence[AgentView], query: PageQuery) -> Page:
    """Cut a page out of agents in order of their ids."""
    start = 0 if query.after is None else bisect_right(views, query.after, key=lambda view: view.group)
    end = len(views) if query.limit is None else min(len(views), start + query.limit)
    shown = views[start:end]
    more = end < len(views) and bool(shown)
    return Page(shown, sum(len(view.versions) for view in views), shown[-1].group if more else None)
