"""The connector's published configuration: a file of another program, and its variables."""

from pathlib import Path

import pytest

from stellwerk.settings import ConnectorSettings, SettingsError, load_settings
from stellwerk.settings.loading import set_flags
from stellwerk.settings.printing import effective_settings
from stellwerk.settings.values import CAPABILITIES
from stellwerk.trust.connectors.capabilities import SUBJECTS, Capability, granted_by

ALL = ConnectorSettings().capabilities
DOCUMENTED = 'connector:\n  token: "t"\n  capabilities: ["reasoners:read", "versions:read"]\n'
CODED = """
agentfield: {port: 8080}
features:
  connector:
    enabled: true
    token: t
    capabilities:
      reasoner_management: {enabled: true, read_only: true}
      status_read: {enabled: true}
      tag_management: {enabled: false}
"""


def loaded(tmp_path: Path, text: str | None = None, **variables: str) -> ConnectorSettings:
    environment = {f"AGENTFIELD_CONNECTOR_{name}": value for name, value in variables.items()}
    if text is not None:
        file = tmp_path / "agentfield.yaml"
        file.write_text(text)
        environment["AGENTFIELD_CONFIG_FILE"] = str(file)
    return load_settings(None, (), environment).settings.connector


def test_the_documented_file_sets_token_and_capabilities(tmp_path: Path) -> None:
    connector = loaded(tmp_path, DOCUMENTED)
    assert (connector.token, connector.capabilities) == ("t", ("reasoners:read", "versions:read"))


def test_a_documented_token_without_a_list_may_everything(tmp_path: Path) -> None:
    assert loaded(tmp_path, "connector: {token: t}").capabilities == ALL
    assert loaded(tmp_path, TOKEN="t") == ConnectorSettings(token="t")


def test_the_coded_file_sets_what_its_map_enables(tmp_path: Path) -> None:
    connector = loaded(tmp_path, CODED)
    assert connector.token == "t"
    assert granted_by(connector.capabilities) == {
        Capability.REASONERS_READ,
        Capability.VERSIONS_READ,
        Capability.STATUS_READ,
    }


def test_the_coded_file_is_off_unless_it_says_on_and_grants_nothing_unasked(tmp_path: Path) -> None:
    assert (
        loaded(tmp_path, CODED.replace("enabled: true\n    token", "enabled: false\n    token")).token is None
    )
    bare = loaded(tmp_path, "features: {connector: {enabled: true, token: t}}")
    assert (bare.token, bare.capabilities) == ("t", ())


def test_variables_go_before_the_file(tmp_path: Path) -> None:
    connector = loaded(tmp_path, DOCUMENTED, TOKEN="other", CAPABILITIES="restart, versions:write")
    assert (connector.token, connector.capabilities) == ("other", ("restart", "versions:write"))
    assert loaded(tmp_path, DOCUMENTED, ENABLED="false").token is None


def test_variables_of_the_coded_map_grant_what_they_name(tmp_path: Path) -> None:
    connector = loaded(tmp_path, TOKEN="t", CAP_REASONER_MANAGEMENT="readonly", CAP_STATUS_READ="no")
    assert granted_by(connector.capabilities) == {Capability.REASONERS_READ, Capability.VERSIONS_READ}
    assert granted_by(loaded(tmp_path, CAP_REASONER_MANAGEMENT="true").capabilities) == set(Capability) - {
        Capability.STATUS_READ
    }


def test_an_empty_list_grants_nothing(tmp_path: Path) -> None:
    assert loaded(tmp_path, TOKEN="t", CAPABILITIES="").capabilities == ()


@pytest.mark.parametrize(
    ("variables", "text", "problem"),
    [
        ({"CAPABILITIES": "restart,reasoners:raed"}, None, "'reasoners:raed' is no capability"),
        ({"CAPABILITIES": "restart", "CAP_STATUS_READ": "true"}, None, "stands beside"),
        ({"TOKN": "t"}, None, "AGENTFIELD_CONNECTOR_TOKN: is no setting"),
        ({"CAP_REASONERS": "true"}, None, "'reasoners' is no capability"),
        ({}, "connector: [t]", "expected `token` and `capabilities` here"),
        ({}, "features: {connector: {enabled: true, capabilities: [x]}}", "a map of `capabilities`"),
        ({}, "connector: {token: [t]}", "connector.token: expected a text"),
        ({}, "connector: [", "is not valid YAML"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_the_start(
    tmp_path: Path, variables: dict[str, str], text: str | None, problem: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(tmp_path, text, **variables)
    assert problem in str(refused.value)


def test_a_missing_file_that_was_asked_for_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(None, (), {"AGENTFIELD_CONFIG_FILE": str(tmp_path / "none.yaml")})


def test_the_token_is_not_printed() -> None:
    settings = load_settings(None, set_flags(["connector.token=hush"]), {})
    assert "hush" not in effective_settings(settings) + repr(settings.settings)


def test_settings_know_the_capabilities_that_tokens_have() -> None:
    assert set(CAPABILITIES) == {*Capability, *SUBJECTS}
