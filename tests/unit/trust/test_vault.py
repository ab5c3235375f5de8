import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stellwerk.trust.vault.cipher import KeyUnusable, SecretUnreadable, load_key, seal, unseal
from stellwerk.trust.vault.service import InvalidSecret, check_secret


def test_a_sealed_secret_opens_under_its_own_name_and_version_only(tmp_path: Path) -> None:
    key = load_key(tmp_path / "secret.key")
    sealed = seal(key, "registry.password", 3, "hush")
    assert b"hush" not in sealed
    assert unseal(key, "registry.password", 3, sealed) == "hush"
    for name, version in (("other", 3), ("registry.password", 4)):
        with pytest.raises(SecretUnreadable) as refused:
            unseal(key, name, version, sealed)
        assert "hush" not in str(refused.value)


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "secret.key"
    assert load_key(file) == load_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_replicas_that_start_together_agree_on_the_key(tmp_path: Path) -> None:
    for number in range(50):
        file = tmp_path / f"{number}.key"
        with ThreadPoolExecutor(8) as starters:
            keys = list(starters.map(lambda _, file=file: load_key(file), range(8)))
        assert len(set(keys)) == 1
    assert len(list(tmp_path.iterdir())) == 50


def test_a_start_that_is_killed_while_it_makes_the_key_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("os.fsync", killed)
        load_key(tmp_path / "secret.key")
    assert len(load_key(tmp_path / "secret.key")) == 32


def test_a_key_that_others_can_read_or_that_is_cut_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret.key"
    load_key(file)
    file.chmod(0o640)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        load_key(file)
    file.chmod(0o600)
    file.write_bytes(b"short")
    with pytest.raises(KeyUnusable, match="restore it"):
        load_key(file)


@pytest.mark.parametrize(
    ("name", "value"), [("", "x"), ("a/b", "x"), (".a", "x"), ("a", ""), ("a", "x" * 65_537)]
)
def test_wrong_names_and_values_are_refused_without_showing_the_value(name: str, value: str) -> None:
    with pytest.raises(InvalidSecret) as refused:
        check_secret(name, value)
    assert "xx" not in str(refused.value)
