"""Who is in rotation, and what each gets."""

from hypothesis import given, settings
from hypothesis import strategies as st

from stellwerk.fleet.model import VersionView
from stellwerk.traffic.weights import all_off, standing


def versions(**weights: int | None) -> list[VersionView]:
    return [VersionView(name, weight, number) for number, (name, weight) in enumerate(weights.items())]


def percents(given: list[VersionView], *healthy: str) -> dict[str, float]:
    return {share.version: share.percent for share in standing(given, healthy)}


def test_a_canary_of_100_beside_a_first_version_of_900_gets_ten_percent() -> None:
    assert percents(versions(a=900, b=100), "a", "b") == {"a": 90.0, "b": 10.0}


def test_a_version_without_a_weight_stays_out_while_a_weighted_one_is_healthy() -> None:
    assert percents(versions(a=1, b=None), "a", "b") == {"a": 100.0}


def test_versions_without_weights_take_over_evenly_where_no_weighted_one_is_healthy() -> None:
    assert percents(versions(a=900, b=None, c=None), "b", "c") == {"b": 50.0, "c": 50.0}


def test_a_weight_of_zero_is_off_though_everybody_else_is_down() -> None:
    assert percents(versions(a=0, b=500), "a") == {}
    assert percents(versions(a=0, b=None), "a", "b") == {"b": 100.0}


def test_all_off_is_told_from_nobody_healthy() -> None:
    assert all_off(versions(a=0, b=0))
    assert not all_off(versions(a=0, b=None))


@settings(deadline=None)
@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.none() | st.integers(0, 10_000)),
    st.data(),
)
def test_shares_are_of_the_healthy_and_add_up_to_all(
    weights: dict[str, int | None], data: st.DataObject
) -> None:
    healthy = data.draw(st.sets(st.sampled_from(sorted(weights)))) if weights else set()
    shares = standing(versions(**weights), healthy)
    assert {share.version for share in shares} <= healthy
    assert all(weights[share.version] != 0 for share in shares)
    if shares:
        assert abs(sum(share.percent for share in shares) - 100) < 1e-6
    else:
        assert all(weights[version] == 0 for version in healthy)
