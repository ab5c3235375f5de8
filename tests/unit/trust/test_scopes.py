"""What scopes imply, and what principals may."""

from stellwerk.trust.principal import ANONYMOUS, LOCAL, Principal
from stellwerk.trust.scopes import ALL_SCOPES, Scope, administration_of, granted_by


def test_admin_implies_every_scope() -> None:
    assert granted_by([Scope.ADMIN]) == ALL_SCOPES


def test_administering_a_subject_implies_its_other_scopes_and_nothing_else() -> None:
    assert granted_by([Scope.FLEET_ADMIN]) == {Scope.FLEET_READ, Scope.FLEET_WRITE, Scope.FLEET_ADMIN}


def test_a_plain_scope_implies_nothing() -> None:
    assert granted_by([Scope.TASKS_WORK]) == {Scope.TASKS_WORK}


def test_a_subject_without_an_administrator_falls_to_admin() -> None:
    assert administration_of(Scope.EVENTS_READ) is Scope.ADMIN
    assert administration_of(Scope.FLEET_WRITE) is Scope.FLEET_ADMIN


def test_who_may_write_does_not_administer() -> None:
    agent = Principal("key:1", "agent", frozenset({Scope.FLEET_WRITE}))
    assert agent.may(Scope.FLEET_WRITE)
    assert not agent.may(Scope.FLEET_READ)
    assert not agent.administers(Scope.FLEET_WRITE)


def test_the_local_user_may_everything_and_nobody_nothing() -> None:
    assert all(LOCAL.may(scope) for scope in Scope)
    assert not any(ANONYMOUS.may(scope) for scope in Scope)


def test_principals_with_the_same_key_are_equal() -> None:
    assert Principal("key:1", "a", frozenset({Scope.ADMIN})) == Principal(
        "key:1", "a", frozenset({Scope.ADMIN})
    )
