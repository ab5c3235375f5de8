"""What belongs to an application is kept, in whatever order it is told; the rest is not."""

import itertools
from typing import Any

from stellwerk.release.clusters.cluster import Changed
from stellwerk.release.inventory import Entry
from stellwerk.release.objects import Body, Key
from stellwerk.release.watching.holdings import EVENTS_OF_ONE, STRANGERS, Holdings
from support.worlds import body

FRONT = Key("shop", "Deployment", "front", "apps")
SERVICE = Key("shop", "Service", "front")


def an(kind: str, name: str, uid: str, *, of: str = "", api_version: str = "v1", **rest: Any) -> Body:
    one = body(kind, name, api_version=api_version, **rest)
    one["metadata"] |= {"uid": uid, "resourceVersion": "1"}
    if of:
        one["metadata"]["ownerReferences"] = [{"uid": of}]
    return one


def event(name: str, about: str, kind: str = "Warning", at: str = "2026-01-01T00:00:00Z") -> Body:
    return an(
        "Event", name, f"e-{name}", type=kind, involvedObject={"uid": about}, reason="X", lastTimestamp=at
    )


DEPLOYMENT = an("Deployment", "front", "d", api_version="apps/v1", spec={"replicas": 1})
REPLICA_SET = an("ReplicaSet", "front-1", "r", of="d", api_version="apps/v1")
POD = an("Pod", "front-1-a", "p", of="r")
WARNING = event("w", "p")


def holdings(*keys: Key) -> Holdings:
    found = Holdings()
    found.own({key: Entry("web", "v1", hash="h") for key in keys})
    return found


def tell(where: Holdings, *bodies: Body, how: Any = "added") -> None:
    for one in bodies:
        where.take(Changed(how, one))


def test_a_family_is_known_in_whatever_order_it_comes() -> None:
    for order in itertools.permutations([DEPLOYMENT, REPLICA_SET, POD, WARNING]):
        where = holdings(FRONT)
        tell(where, *order)
        assert len(where.table) == 4
        assert [root for root, _ in where.warnings] == [FRONT]


def test_what_others_made_is_not_kept_and_strangers_are_bounded() -> None:
    where = holdings(FRONT)
    tell(where, *(an("Pod", f"x-{number}", f"x{number}", of="other") for number in range(3 * STRANGERS)))
    assert len(where.table) == 0
    assert len(where._strangers) == STRANGERS


def test_events_of_one_object_are_bounded_and_the_last_stay() -> None:
    where = holdings(FRONT)
    tell(where, DEPLOYMENT)
    tell(where, *(event(f"{n:03}", "d", at=f"2026-01-01T00:{n:02}:00Z") for n in range(EVENTS_OF_ONE + 9)))
    names = sorted(one["metadata"]["name"] for one in where.table.events_about(DEPLOYMENT))
    assert (len(names), names[-1]) == (EVENTS_OF_ONE, f"{EVENTS_OF_ONE + 8:03}")


def test_events_that_say_nothing_about_health_are_not_kept() -> None:
    where = holdings(FRONT)
    tell(where, DEPLOYMENT, event("n", "d", "Normal"))
    assert where.table.events_about(DEPLOYMENT) == []


def test_when_an_owned_object_goes_its_family_goes_too() -> None:
    where = holdings(FRONT)
    tell(where, DEPLOYMENT, REPLICA_SET, POD, WARNING)
    tell(where, DEPLOYMENT, how="deleted")
    assert len(where.table) == 0
    assert where._kin == 0
    assert FRONT in where.dirty
    assert FRONT in where.suspects


def test_a_change_of_status_makes_no_suspect_and_any_other_does() -> None:
    where = holdings(FRONT)
    tell(where, DEPLOYMENT)
    where.examined(FRONT)
    tell(where, DEPLOYMENT | {"status": {"replicas": 1}}, how="modified")
    assert where.suspects == set()
    tell(where, DEPLOYMENT | {"spec": {"replicas": 2}}, how="modified")
    assert where.suspects == {FRONT}


def test_what_a_pod_does_concerns_the_object_that_it_was_made_for() -> None:
    where = holdings(FRONT, SERVICE)
    tell(where, DEPLOYMENT, REPLICA_SET, POD)
    where.dirty.clear()
    tell(where, POD | {"status": {"phase": "Running"}}, how="modified")
    assert where.dirty == {FRONT}
    where.dirty.clear()
    tell(where, an("Endpoints", "front", "e"), an("Endpoints", "other", "o"))
    assert where.dirty == {SERVICE}


def test_the_content_of_objects_is_not_kept() -> None:
    secret = Key("shop", "Secret", "s")
    where = holdings(secret)
    tell(where, an("Secret", "s", "s", data={"password": "aHVudGVyMg=="}))
    assert "aHVudGVyMg" not in repr(where.table.get(secret))


def test_what_is_no_longer_owned_is_let_go() -> None:
    where = holdings(FRONT)
    tell(where, DEPLOYMENT, REPLICA_SET, POD)
    where.own({})
    assert (len(where.table), where.dirty, where.suspects) == (0, set(), set())
