import base64
import json

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from stellwerk.trust.certificates.judging import Code, Identity, Refused
from stellwerk.trust.certificates.record import State
from stellwerk.trust.certificates.tickets import Ticket, Tickets

KEY = bytes(range(32))
NOW = 1_790_000_000_000_000
ME = Identity("a-1", "5e1", "thumb", NOW, NOW + 86_400_000_000, State.ACTIVE)
TICKETS = Tickets(KEY, "stellwerk", 3_600)


def test_a_token_says_whom_and_which_certificate_it_belongs_to() -> None:
    assert TICKETS.read(TICKETS.write(ME, NOW), NOW) == Ticket("a-1", "5e1", "thumb")
    claims = jwt.decode(TICKETS.write(ME, NOW), OctKey.import_key(KEY), algorithms=["HS256"]).claims
    assert claims["cnf"] == {"x5t#S256": "thumb"}
    assert (claims["aud"], claims["exp"] - claims["iat"]) == ("agent-api", 3_600)


def test_a_token_ends() -> None:
    token = TICKETS.write(ME, NOW)
    assert TICKETS.read(token, NOW + 3_604_000_000) == Ticket("a-1", "5e1", "thumb")
    assert TICKETS.read(token, NOW + 3_605_000_000) == Refused(Code.TOKEN_EXPIRED)


def unsigned() -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {"iss": "stellwerk", "sub": "a-1", "aud": "agent-api", "exp": 9_999_999_999, "serial": "5e1"}
    return f"{part({'alg': 'none'})}.{part(claims | {'cnf': {'x5t#S256': 'thumb'}})}."


def signed(header: dict[str, str] | None = None, key: bytes = KEY, **claims: object) -> str:
    body = {
        "iss": "stellwerk",
        "sub": "a-1",
        "aud": "agent-api",
        "exp": 9_999_999_999,
        "serial": "5e1",
        "cnf": {"x5t#S256": "thumb"},
    }
    algorithm = (header or {"alg": "HS256"})["alg"]
    text = {name: value for name, value in {**body, **claims}.items() if value is not None}
    return jwt.encode({"alg": algorithm}, text, OctKey.import_key(key), algorithms=[algorithm])


def test_the_forged_tokens_below_differ_from_a_good_one_in_one_point() -> None:
    assert TICKETS.read(signed(), NOW) == Ticket("a-1", "5e1", "thumb")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "é.é.é",
        "x" * 10_000,
        unsigned(),
        signed({"alg": "HS512"}),
        signed(key=bytes(32)),
        signed(iss="other"),
        signed(aud="other"),
        signed(exp=None),
        signed(exp="soon"),
        signed(sub=None),
        signed(serial=None),
        signed(cnf=None),
        signed(cnf="thumb"),
        signed(cnf={}),
        signed(nbf=9_999_999_999),
    ],
)
def test_a_forged_token_is_refused(token: str) -> None:
    assert TICKETS.read(token, NOW) == Refused(Code.TOKEN_INVALID)
