"""Whether a remedy needs approval, and who may give it. The environment is our setting, and no request's."""

from collections.abc import Sequence

from stellwerk.inquiry.remedies.workflow import RISKS, Risk
from stellwerk.settings import InquirySettings
from stellwerk.trust.keys import Key
from stellwerk.trust.principal import LOCAL, Principal
from stellwerk.trust.scopes import Scope, granted_by


def environment_of(namespace: str, settings: InquirySettings) -> str:
    """Return the environment of a namespace, by the settings."""
    return settings.environments.get(namespace, settings.environment)


def needs_approval(
    environment: str, risk: str, settings: InquirySettings, *, by_model: bool = False
) -> str | None:
    """Say why a remedy needs approval; None if it needs none. `by_model`: only a model names its cause."""
    if by_model:
        return "the cause is what a model says, and not proven"
    if environment in settings.approve_environments:
        return f"the environment is {environment}"
    known: tuple[Risk, ...] = RISKS
    if known.index(_risk(risk)) >= known.index(_risk(settings.approve_risk)):
        return f"its risk is {risk}"
    return None


def may_approve(principal: Principal, asked_by: str) -> str | None:
    """Say why somebody may not approve a remedy; None if they may.

    Who asked may not, and neither may somebody who did not prove who they are: then it could be the same.
    """
    if principal.id == LOCAL.id:
        return "the local user of an open listener is not authenticated; approve with an API key"
    if principal.id == asked_by:
        return "who asked for a remedy cannot approve it"
    return None


def approvers(keys: Sequence[Key], asked_by: str, now_us: int) -> list[str]:
    """List the principals that could approve."""
    return [
        f"key:{key.key_id}"
        for key in keys
        if Scope.INCIDENTS_APPROVE in granted_by(key.scopes)
        and key.revoked_at is None
        and (key.expires_at is None or key.expires_at > now_us)
        and f"key:{key.key_id}" != asked_by
    ]


def _risk(text: str) -> Risk:
    return next((one for one in RISKS if one == text), "high")
