"""Forms are canonical; matching follows them."""

from hypothesis import given
from hypothesis import strategies as st

from stellwerk.work.matching import Attributes, matches
from stellwerk.work.requirements import (
    ANY,
    NO_FORM,
    Form,
    Requirements,
    form_id_of,
    queue_key_of,
    read_form,
    reduce_to_form,
    split_queue_key,
    write_form,
)

NAMES = st.sampled_from(["a", "b", "c", "ä", 'q"', "a,b", ""])
LISTS = st.lists(NAMES, max_size=4).map(tuple)
REQUIREMENTS = st.builds(
    Requirements,
    agent_type=st.none() | NAMES,
    capabilities=LISTS,
    services=LISTS,
    labels=st.dictionaries(NAMES, NAMES, max_size=3),
    min_health_score=st.none() | st.floats(0, 1),
)
ATTRIBUTES = st.builds(
    Attributes,
    kind=NAMES,
    capabilities=st.frozensets(NAMES),
    services=st.frozensets(NAMES),
    labels=st.frozensets(st.tuples(NAMES, NAMES)),
    health=st.floats(0, 1),
)


def test_asking_nothing_is_the_form_any() -> None:
    for nothing in (Requirements(), Requirements(agent_type="", min_health_score=0.0)):
        assert form_id_of(reduce_to_form(nothing)) == ANY


def test_ids_of_forms_stay_the_same() -> None:
    form = reduce_to_form(Requirements(agent_type="worker", capabilities=("b", "a", "b")))
    assert write_form(form) == '{"agent_type":"worker","capabilities":["a","b"]}'
    assert form_id_of(form) == "47288ba2f72e2ce7"


@given(REQUIREMENTS, st.randoms())
def test_order_and_repetition_do_not_change_the_form(asked: Requirements, random) -> None:  # type: ignore[no-untyped-def]
    def shuffled(names: tuple[str, ...]) -> tuple[str, ...]:
        again = [*names, *names[:1]]
        random.shuffle(again)
        return tuple(again)

    labels = list(asked.labels.items())
    random.shuffle(labels)
    same = Requirements(
        agent_type=asked.agent_type,
        capabilities=shuffled(asked.capabilities),
        services=shuffled(asked.services),
        labels=dict(labels),
        min_health_score=asked.min_health_score,
    )
    assert form_id_of(reduce_to_form(same)) == form_id_of(reduce_to_form(asked))


@given(REQUIREMENTS)
def test_a_form_is_read_as_it_was_written(asked: Requirements) -> None:
    form = reduce_to_form(asked)
    assert read_form(write_form(form)) == form


@given(REQUIREMENTS, REQUIREMENTS)
def test_different_forms_have_different_ids(one: Requirements, other: Requirements) -> None:
    forms = reduce_to_form(one), reduce_to_form(other)
    assert (form_id_of(forms[0]) == form_id_of(forms[1])) == (forms[0] == forms[1])


@given(REQUIREMENTS, ATTRIBUTES)
def test_matching_means_what_the_requirements_say(asked: Requirements, offer: Attributes) -> None:
    expected = (
        (not asked.agent_type or asked.agent_type == offer.kind)
        and set(asked.capabilities) <= offer.capabilities
        and set(asked.services) <= offer.services
        and set(asked.labels.items()) <= offer.labels
        and (asked.min_health_score is None or offer.health >= asked.min_health_score)
    )
    assert matches(reduce_to_form(asked), offer) == expected


@given(ATTRIBUTES)
def test_everybody_matches_the_form_that_asks_nothing(offer: Attributes) -> None:
    assert matches(NO_FORM, offer)


@given(st.text(min_size=1))
def test_a_named_agent_has_queues_of_its_own(group: str) -> None:
    key = queue_key_of("0123456789abcdef", group)
    assert split_queue_key(key) == ("0123456789abcdef", group)
    assert split_queue_key(queue_key_of(ANY, None)) == (ANY, None)
    assert matches(Form(), Attributes())
