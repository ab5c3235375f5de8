"""Both vocabularies of a connector's rights."""

import pytest

from stellwerk.trust.connectors.capabilities import (
    EVERYTHING,
    SUBJECTS,
    Capability,
    UnknownCapability,
    coded,
    documented,
    granted_by,
)

DOCUMENTED = ["reasoners:read", "reasoners:write", "versions:read", "versions:write", "restart"]


def enabled(names: list[str]) -> dict[str, tuple[bool, bool]]:
    """The coded subjects that are enabled, with whether they are read-only."""
    found = coded(granted_by(names))
    assert found.keys() == SUBJECTS.keys()
    return {name: standing for name, standing in found.items() if standing[0]}


def test_the_documented_list_gives_everything_and_comes_back_as_it_was() -> None:
    assert granted_by(DOCUMENTED) == EVERYTHING
    assert documented(EVERYTHING) == DOCUMENTED
    for name in DOCUMENTED:
        assert documented(granted_by([name])) == [name]


def test_subjects_give_what_they_manage_and_nothing_of_another() -> None:
    assert granted_by(["reasoner_management"]) == EVERYTHING - {Capability.STATUS_READ}
    assert granted_by(["status_read"]) == {Capability.STATUS_READ}
    assert granted_by(["policy_management", "tag_management"]) == frozenset()
    assert documented(granted_by(["status_read"])) == ["status:read"]


def test_a_read_only_subject_gives_no_right_that_writes() -> None:
    granted = granted_by(["reasoner_management:read-only", "status_read:read-only"])
    assert granted == {one for one in Capability if not one.writes}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (DOCUMENTED, {"reasoner_management": (True, False), "status_read": (True, False)}),
        (["reasoner_management"], {"reasoner_management": (True, False)}),
        (["reasoner_management:read-only"], {"reasoner_management": (True, True)}),
        (["reasoners:read"], {"status_read": (True, False)}),
        (["reasoners:read", "versions:read", "versions:write"],
         {"reasoner_management": (True, True), "status_read": (True, False)}),
        (["restart"], {}),
        ([], {}),
    ],
)  # fmt: skip
def test_rights_are_written_as_subjects_that_never_promise_more(
    names: list[str], expected: dict[str, tuple[bool, bool]]
) -> None:
    assert enabled(names) == expected


@pytest.mark.parametrize("name", ["", "versions", "versions:read:read-only", "VERSIONS:READ", "admin"])
def test_a_name_of_neither_vocabulary_is_refused(name: str) -> None:
    with pytest.raises(UnknownCapability):
        granted_by(["restart", name])
