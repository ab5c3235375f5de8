"""Calls of the command line to a running control plane."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

DEFAULT_SERVER = "http://127.0.0.1:8080"
TIMEOUT_S = 30.0

ServerOption = Annotated[
    str, typer.Option("--server", envvar="STELLWERK_SERVER", help="Address of the control plane.")
]
KeyOption = Annotated[
    str | None,
    typer.Option("--api-key", envvar="STELLWERK_API_KEY", help="API key; open listeners need none."),
]


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer with its headers, whose names are in lower case."""

    body: Any
    headers: Mapping[str, str]


class Remote:
    """One control plane, addressed with one key. Failures end the program with a message and status 1."""

    def __init__(self, server: str, api_key: str | None) -> None:
        self._server = server.rstrip("/")
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        # Never through a proxy of the environment: the key would be shown to it.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request and return the decoded answer."""
        with self._open(method, path, body, TIMEOUT_S) as answer:
            return json.load(answer)

    def exchange(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answered:
        """Send one request with further headers; return the decoded answer with its headers."""
        with self._open(method, path, body, TIMEOUT_S, headers) as answer:
            sent = {name.lower(): value for name, value in answer.headers.items()}
            return Answered(json.load(answer), sent)

    def try_call(self, method: str, path: str) -> Any:
        """Return the decoded answer; None where it is refused, for what is only good to know."""
        request = urllib.request.Request(self._server + path, None, self._headers, method=method)  # noqa: S310
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def lines(self, path: str) -> Iterator[str]:
        """Follow a stream line by line until it ends."""
        with self._open("GET", path, None, None) as answer:
            for line in answer:
                yield line.decode().rstrip("\n")

    def _open(
        self,
        method: str,
        path: str,
        body: Any,
        timeout_s: float | None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        sent = {**self._headers, **(headers or {})}
        request = urllib.request.Request(self._server + path, data, sent, method=method)  # noqa: S310
        try:
            return self._opener.open(request, timeout=timeout_s)
        except urllib.error.HTTPError as refused:
            raise _end(f"{method} {path}: {refused.code} {_detail(refused.read())}") from None
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise _end(f"cannot reach {self._server}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({reason.verify_message}). Where it is of the server's own "
            "authority: on the server `stellwerk ca export servers > ca.pem`, here SSL_CERT_FILE=ca.pem"
        )
    return f"{reason}; is `stellwerk serve` running there?"


def _detail(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")[:500]
    if not isinstance(answer, dict):
        return str(answer)
    fault = answer.get("error")
    if isinstance(fault, dict) and "message" in fault:
        return str(fault["message"])
    if isinstance(fault, str):
        said = f"{fault}: {answer['message']}" if "message" in answer else fault
        return said + _each(answer.get("details"))
    return str(answer.get("detail", answer))


def _each(details: Any) -> str:
    """Write what a refusal says of single fields or files, a line each."""
    if not isinstance(details, dict):
        return ""
    return "".join(f"\n  {name}: {text}" for name, text in details.items())


def _end(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(1)
