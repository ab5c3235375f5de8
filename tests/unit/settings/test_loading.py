from pathlib import Path

import pytest

from stellwerk.settings import SettingsError, load_settings
from stellwerk.settings.loading import known_names, set_flags
from stellwerk.settings.printing import effective_settings, hide_password


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "stellwerk.yaml"
    file.write_text(text)
    return file


def test_later_sources_win_and_are_remembered(tmp_path: Path) -> None:
    file = written(tmp_path, "server:\n  port: 1000\n  host: ::1\nwork:\n  lease_s: 5\n")
    loaded = load_settings(
        file, set_flags(["work.lease_s=7"]), {"STELLWERK_SERVER_PORT": "2000", "STELLWERK_SERVER": "http://x"}
    )
    assert (loaded.settings.server.port, loaded.settings.server.host) == (2000, "::1")
    assert loaded.settings.work.lease_s == 7.0
    assert loaded.origins == {
        "server.port": "STELLWERK_SERVER_PORT",
        "server.host": f"{file}:3",
        "work.lease_s": "--set work.lease_s",
    }


def test_all_faults_are_reported_together_with_their_places(tmp_path: Path) -> None:
    file = written(tmp_path, "server:\n  prot: 1\n  port: abc\nwork: 5\nlog:\n  level: loud\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(file, set_flags(["database.url=mysql://x"]), {"STELLWERK_FLEET_LATE": "3"})
    text = str(caught.value)
    assert f"{file}:2: 'server.prot' is no setting; did you mean server.port?" in text
    assert f"{file}:3: server.port: expected a whole number, not 'abc'" in text
    assert f"{file}:4: expected `name: value` lines here" in text
    assert f"{file}:6: log.level: expected one of" in text
    assert "STELLWERK_FLEET_LATE: is no setting" in text
    assert "--set database.url: database.url: expected `sqlite` or" in text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "is not valid YAML"),
        ("server:\n  port: 1\n  port: 2\n", "server.port is set twice"),
        ("- 1\n", "expected `name: value` lines"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        load_settings(written(tmp_path, text), environment={})


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, ""), environment={}).settings.server.port == 8080


def test_a_missing_file_that_was_asked_for_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "none.yaml", environment={})


def test_values_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(SettingsError, match="must be greater than fleet"):
        load_settings(None, set_flags(["fleet.offline_after=2"]), {})
    with pytest.raises(SettingsError, match="certificate and key belong together"):
        load_settings(None, set_flags(["tls.certificate=x.pem"]), {})
    load_settings(None, set_flags(["server.tls_port=0"]), {})


def test_printed_settings_hide_secrets_and_can_be_loaded_again(tmp_path: Path) -> None:
    loaded = load_settings(
        None, set_flags(["database.url=postgresql://me:hush@db/x", "server.names=a,b"]), {}
    )
    printed = effective_settings(loaded)
    assert "hush" not in printed
    again = load_settings(written(tmp_path, printed), environment={})
    assert again.settings.server.names == ("a", "b")


def test_passwords_in_query_parameters_are_hidden() -> None:
    assert hide_password("postgresql://h/x?password=hush&a=1") == "postgresql://h/x?password=***&a=1"


def test_every_setting_has_its_variable() -> None:
    for name in known_names():
        variable = "STELLWERK_" + name.replace(".", "_").upper()
        with pytest.raises(SettingsError) as caught:
            load_settings(None, (), {variable: "\x00 no such value", "STELLWERK_CONFIG": "/nonexistent"})
        assert "is no setting" not in str(caught.value)
