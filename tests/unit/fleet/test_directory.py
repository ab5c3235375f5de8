from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from stellwerk.fleet.directory import Directory
from stellwerk.fleet.model import AgentQuery, AgentView, Condition, FleetCounts, Presence
from support.fleet import agent_view, instance_view

NAMES = st.sampled_from(["a", "b", "c"])
LISTS = st.lists(NAMES, max_size=3, unique=True).map(tuple)
GROUPS = st.sampled_from([f"g{number}" for number in range(12)])
LABELS = st.dictionaries(st.sampled_from(["zone", "disk"]), NAMES, max_size=2)
STANDINGS = list(product(Condition, Presence))

INSTANCES = st.builds(
    instance_view,
    capabilities=LISTS,
    services=LISTS,
    tags=LISTS,
    labels=LABELS,
    condition=st.sampled_from(Condition),
    presence=st.sampled_from(Presence),
)
VIEWS = st.builds(
    lambda group, kind, registered_at, one, more: agent_view(
        group,
        one,
        *(replace(other, instance=f"i{number}") for number, other in enumerate(more)),
        kind=kind,
        registered_at=registered_at,
    ),
    group=GROUPS,
    kind=NAMES,
    registered_at=st.integers(1, 4),
    one=INSTANCES,
    more=st.lists(INSTANCES, max_size=2),
)
QUERIES = st.builds(
    AgentQuery,
    kind=st.none() | NAMES,
    standings=st.none() | st.frozensets(st.sampled_from(STANDINGS)),
    capabilities=LISTS,
    services=LISTS,
    tags=LISTS,
    labels=LABELS,
    min_health_score=st.none() | st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    limit=st.none() | st.integers(-1, 5),
)


def satisfies(view: AgentView, query: AgentQuery) -> bool:
    return (
        (query.kind is None or view.kind == query.kind)
        and (query.standings is None or (view.condition, view.presence) in query.standings)
        and set(query.capabilities) <= set(view.capabilities)
        and set(query.services) <= set(view.services)
        and set(query.tags) <= set(view.tags)
        and query.labels.items() <= view.labels.items()
        and (query.min_health_score is None or view.health_score >= query.min_health_score)
    )


def found_naively(views: dict[str, AgentView], query: AgentQuery) -> list[AgentView]:
    found = [view for view in views.values() if satisfies(view, query)]
    found.sort(key=lambda view: (-view.health_score, view.registered_at, view.group))
    return found if query.limit is None else found[: max(query.limit, 0)]


@settings(max_examples=300)
@given(st.lists(VIEWS | GROUPS, max_size=40), st.lists(QUERIES, min_size=1, max_size=8))
def test_directory_finds_what_a_search_through_all_would(
    steps: list[AgentView | str], queries: list[AgentQuery]
) -> None:
    directory, views = Directory(), dict[str, AgentView]()
    for step in steps:
        if isinstance(step, str):
            assert directory.remove(step) == views.pop(step, None)
        else:
            directory.put(step)
            views[step.group] = step
    assert len(directory) == len(views)
    assert list(directory) == found_naively(views, AgentQuery())
    for query in queries:
        assert directory.find(query) == found_naively(views, query)
    assert directory.counts() == counted_naively(views)


def counted_naively(views: dict[str, AgentView]) -> FleetCounts:
    standings: dict[tuple[Condition, Presence], int] = {}
    kinds: dict[str, int] = {}
    for view in views.values():
        standings[view.standing] = standings.get(view.standing, 0) + 1
        kinds[view.kind] = kinds.get(view.kind, 0) + 1
    return FleetCounts(
        agents=len(views),
        instances=sum(len(view.instances) for view in views.values()),
        standings=standings,
        kinds=kinds,
        capabilities=len({name for view in views.values() for name in view.capabilities}),
        services=len({name for view in views.values() for name in view.services}),
    )


def test_capability_given_up_at_a_new_registration_is_no_longer_found() -> None:
    directory = Directory()
    directory.put(agent_view("a1", capabilities=("analysis",)))
    directory.put(agent_view("a1", capabilities=("other",)))
    assert directory.find(AgentQuery(capabilities=("analysis",))) == []
    assert directory.counts().capabilities == 1


def test_equally_healthy_agents_stand_in_order_of_registration() -> None:
    directory = Directory()
    for group, at in (("z", 1), ("a", 3), ("m", 2)):
        directory.put(agent_view(group, registered_at=at))
    assert [view.group for view in directory.find(AgentQuery())] == ["z", "m", "a"]


def test_a_sign_of_life_keeps_the_place_and_shows_the_new_view() -> None:
    directory = Directory()
    directory.put(agent_view("a", registered_at=1))
    directory.put(agent_view("b", registered_at=2))
    directory.put(agent_view("a", registered_at=1, seen_at=50))
    assert [(view.group, view.seen_at) for view in directory.find(AgentQuery())] == [("a", 50), ("b", 1)]


def test_no_standing_wanted_finds_nobody() -> None:
    directory = Directory()
    directory.put(agent_view("a"))
    assert directory.find(AgentQuery(standings=frozenset())) == []
