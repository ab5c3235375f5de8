"""How objects are named, and what tells two renderings of one apart."""

import msgspec
import pytest

from stellwerk.release.objects import Key, content_hash, group_of, key_of

KEY = b"k" * 32


def secret(**parts: object) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **parts}


def test_key_is_read_from_the_text_and_shown_as_on_the_wire() -> None:
    key = key_of(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}}
    )
    assert key == Key("shop", "Deployment", "web", "apps")
    assert str(key) == "shop/Deployment/web"
    assert str(Key("", "Namespace", "shop")) == "default/Namespace/shop"
    with pytest.raises(KeyError):
        key_of({"kind": "Deployment", "metadata": {}})


@pytest.mark.parametrize(
    ("version", "group"), [("v1", ""), ("apps/v1", "apps"), ("a.b.example/v1beta1", "a.b.example")]
)
def test_group_stands_before_the_version(version: str, group: str) -> None:
    assert group_of(version) == group


def test_hash_ignores_the_order_of_names_and_nothing_else() -> None:
    assert content_hash({"a": 1, "b": [1, 2]}, KEY) == content_hash({"b": [1, 2], "a": 1}, KEY)
    assert content_hash({"a": 1, "b": [1, 2]}, KEY) != content_hash({"a": 1, "b": [2, 1]}, KEY)
    assert content_hash({"a": 1}, KEY) == content_hash({"a": 1}, b"another")


def test_hash_of_a_secret_needs_the_key() -> None:
    body = secret(data={"password": "aHVudGVy"}, stringData={"user": "me"})
    before = msgspec.json.encode(body)
    assert content_hash(body, KEY) == content_hash(
        secret(stringData={"user": "me"}, data={"password": "aHVudGVy"}), KEY
    )
    assert content_hash(body, KEY) != content_hash(body, b"another")
    assert content_hash(body, KEY) != content_hash(
        secret(data={"password": "aHVudGVz"}, stringData={"user": "me"}), KEY
    )
    assert content_hash(secret(data="no map"), KEY) != content_hash(secret(data="no map"), b"another")
    assert msgspec.json.encode(body) == before
