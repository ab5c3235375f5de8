from hypothesis import given
from hypothesis import strategies as st

from stellwerk.work.matching import Attributes, matches
from stellwerk.work.requirements import Form
from stellwerk.work.traits import EVERYBODY, traits_asked, traits_of

WORDS = st.lists(st.sampled_from("xy"), max_size=2, unique=True).map(tuple)


def test_a_task_that_asks_nothing_is_for_everybody() -> None:
    assert traits_asked(Form(), None) == (EVERYBODY,)
    assert EVERYBODY in traits_of(Attributes(), "a")


@given(
    form=st.builds(Form, agent_type=st.none() | st.just("worker"), capabilities=WORDS, services=WORDS),
    attributes=st.builds(
        Attributes,
        kind=st.sampled_from(["worker", ""]),
        capabilities=WORDS.map(frozenset),
        services=WORDS.map(frozenset),
    ),
)
def test_who_matches_has_every_trait_that_is_asked(form: Form, attributes: Attributes) -> None:
    if matches(form, attributes):
        assert traits_of(attributes, "a").issuperset(traits_asked(form, "a"))
