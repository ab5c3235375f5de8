"""Values that look like secrets are masked, and nothing else is."""

import pytest

from stellwerk.inquiry.evidence.masking import MASK, mask_text, masked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("password=hunter22", f"password={MASK}"),
        ('{"api_key": "abc123def"}', f'{{"api_key": {MASK}}}'),
        ("postgres://shop:s3cret@db:5432/shop", f"postgres://shop:{MASK}@db:5432/shop"),
        ("Authorization: Bearer abcdefgh12345678", f"Authorization: Bearer {MASK}"),
        ("key AKIAIOSFODNN7EXAMPLE used", f"key {MASK} used"),
        ("jwt eyJhbGciOiJI.eyJzdWIiOiIx.abc", f"jwt {MASK}"),
        ("DB_PASSWORD: correct-horse", f"DB_PASSWORD: {MASK}"),
    ],
)
def test_secret_values_are_masked_where_they_stand(text: str, expected: str) -> None:
    assert mask_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "dial tcp 10.96.0.12:5432: connect: connection refused",
        "password authentication failed for user shop",
        'secret "db-credentials" not found',
        "couldn't find key password in Secret shop/db",
        "token is expired",
        "mail ops@example.com about http://db.shop.svc:8080/healthz",
        "secretName: web-tls-certificate",
        "DB_PASSWORD_FILE=/run/secrets/db",
        "PASSWORD=$(DB_PASSWORD)",
    ],
)
def test_addresses_names_and_sentences_stay(text: str) -> None:
    assert mask_text(text) == text


def test_a_variable_is_masked_by_its_name_and_its_neighbour_stays() -> None:
    env = [{"name": "API_TOKEN", "value": "abcdef123456"}, {"name": "API_URL", "value": "http://api:80"}]

    assert masked({"kind": "Pod", "spec": {"env": env}})["spec"]["env"] == [
        {"name": "API_TOKEN", "value": MASK},
        {"name": "API_URL", "value": "http://api:80"},
    ]


def test_a_configmap_keeps_its_keys() -> None:
    body = {"kind": "ConfigMap", "data": {"password": "hunter22", "level": "info"}}

    assert masked(body)["data"] == {"password": MASK, "level": "info"}
