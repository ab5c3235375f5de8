"""How the text of one setting becomes its value, and which values are allowed."""

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from stellwerk.settings.llm import PROVIDERS, WHEN
from stellwerk.settings.sections import FunctionSettings, Settings

TRUE_WORDS = {"true", "yes", "on", "1"}
FALSE_WORDS = {"false", "no", "off", "0"}

STRATEGIES = (
    "round_robin",
    "least_connections",
    "least_response_time",
    "weighted_round_robin",
    "resource_based",
    "capability_based",
    "predictive",
    "consistent_hash",
)

CAPABILITIES = (
    "reasoners:read",
    "reasoners:write",
    "versions:read",
    "versions:write",
    "restart",
    "status:read",
    "reasoner_management",
    "status_read",
    "policy_management",
    "tag_management",
    "did_management",
    "observability_config",
    "config_management",
)
"""What a connector may: the documented names, then the coded ones, which `:read-only` may follow."""

Raw = object
"""A value as it came: text from the environment or a flag, or what YAML made of it."""


class WrongValue(ValueError):
    """The message says what was expected."""


def convert(kind: object, raw: Raw) -> object:
    """Turn `raw` into the type of a section's field; raise WrongValue with what was expected."""
    kinds = getattr(kind, "__args__", None)
    if kinds and type(None) in kinds:
        if raw is None or raw == "":
            return None
        return convert(next(each for each in kinds if each is not type(None)), raw)
    if getattr(kind, "__origin__", None) is tuple:
        return _texts(raw)
    if getattr(kind, "__origin__", None) is Mapping:
        kinds = getattr(kind, "__args__", ())
        return _words(raw) if kinds == (str, str) else _functions(raw)
    if raw is None:
        raise WrongValue("has no value")
    return _SCALARS[kind](raw)


def _texts(raw: Raw) -> tuple[str, ...]:
    if isinstance(raw, str):
        return tuple(part.strip() for part in raw.split(",") if part.strip())
    if isinstance(raw, list | tuple) and all(isinstance(part, str) for part in raw):
        return tuple(raw)
    raise WrongValue("expected a list of texts (or one text with commas)")


def _words(raw: Raw) -> dict[str, str]:
    """Read texts by name: a mapping, or one text `name=value,name=value`."""
    if isinstance(raw, str):
        pairs = [part.partition("=") for part in _texts(raw)]
        if not all(name and equals and value for name, equals, value in pairs):
            raise WrongValue("expected `name=value`, several with commas")
        return {name.strip(): value.strip() for name, _, value in pairs}
    if isinstance(raw, dict) and all(isinstance(value, str) for value in raw.values()):
        return {str(name): value for name, value in raw.items()}
    raise WrongValue("expected texts by name: `name: value`")


def _functions(raw: Raw) -> dict[str, FunctionSettings]:
    if isinstance(raw, str):
        return {name: FunctionSettings(idempotent=True) for name in _texts(raw)}
    if not isinstance(raw, dict):
        raise WrongValue("expected functions by target: `agent.function: {idempotent: true}`")
    found = {}
    for target, facts in raw.items():
        if not isinstance(facts, dict) or set(facts) - {"idempotent"} or "." not in str(target):
            raise WrongValue(f"{target!r}: expected `agent.function: {{idempotent: true}}`")
        found[str(target)] = FunctionSettings(idempotent=_boolean(facts.get("idempotent", False)))
    return found


def _boolean(raw: Raw) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise WrongValue(f"expected true or false, not {raw!r}")


def _integer(raw: Raw) -> int:
    try:
        if isinstance(raw, bool | float):
            raise ValueError
        return int(str(raw).replace("_", ""))
    except ValueError:
        raise WrongValue(f"expected a whole number, not {raw!r}") from None


def _number(raw: Raw) -> float:
    try:
        if isinstance(raw, bool):
            raise ValueError
        value = float(str(raw))
    except ValueError:
        raise WrongValue(f"expected a number, not {raw!r}") from None
    if not math.isfinite(value):
        raise WrongValue("expected a finite number")
    return value


def _text(raw: Raw) -> str:
    if isinstance(raw, str | int | float) and not isinstance(raw, bool):
        return str(raw)
    raise WrongValue(f"expected a text, not {raw!r}")


def _path(raw: Raw) -> Path:
    return Path(_text(raw)).expanduser()


_SCALARS: dict[object, Callable[[Raw], object]] = {
    bool: _boolean,
    int: _integer,
    float: _number,
    str: _text,
    Path: _path,
}


def _port(value: int) -> str | None:
    return None if 0 <= value <= 65_535 else "expected a port between 0 and 65535"


def _networks(value: tuple[str, ...]) -> str | None:
    for text in value:
        try:
            ipaddress.ip_network(text)
        except ValueError as wrong:
            return str(wrong)
    return None


def _one_of(*choices: str) -> Callable[[str], str | None]:
    return lambda value: None if value in choices else f"expected one of {', '.join(choices)}, not {value!r}"


def _seconds_between(shortest: float, longest: float) -> Callable[[float], str | None]:
    return lambda value: (
        None if shortest <= value <= longest else f"expected {shortest:g} to {longest:g} seconds"
    )


def _capabilities(value: tuple[str, ...]) -> str | None:
    for name in value:
        if name.removesuffix(":read-only") not in CAPABILITIES:
            return f"{name!r} is no capability; there are {', '.join(CAPABILITIES)}"
    return None


def _trust_domain(value: str) -> str | None:
    fits = re.fullmatch(r"[a-z0-9._-]{1,255}", value)
    return None if fits else "expected lower-case letters, digits, '.', '-' or '_', as SPIFFE says"


def _database_url(value: str) -> str | None:
    if value == "sqlite" or value.startswith(("postgresql://", "postgres://")):
        return None
    return "expected `sqlite` or `postgresql://user@host/name`"


def _http_address(value: str) -> str | None:
    fits = re.fullmatch(r"https?://[^\s?#]+", value)
    return None if fits else "expected an address with http:// or https://"


def _label(value: str) -> str | None:
    fits = re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,51}[a-z0-9])?", value)
    return None if fits else "expected up to 53 of a-z, 0-9, - and ., with a letter or digit at both ends"


def _temperature(value: float) -> str | None:
    return None if 0 <= value <= 2 else "expected 0 to 2"


def _weight(value: int) -> str | None:
    return None if 0 <= value <= 10_000 else "expected a weight between 0 and 10000"


_RULES: dict[str, Callable[..., str | None]] = {
    "server.port": _port,
    "server.tls_port": _port,
    "server.coordinator_port": _port,
    "server.conductor_port": _port,
    "server.metrics_port": _port,
    "database.url": _database_url,
    "access.trusted_proxies": _networks,
    "outbound.allowed_networks": _networks,
    "traffic.first_weight": _weight,
    "traffic.later_weight": _weight,
    "connector.capabilities": _capabilities,
    "conductor.application": _label,
    "conductor.cluster": _one_of("kubeconfig", "in-cluster", "sandbox", "none"),
    "conductor.wait_s": _seconds_between(0, 3_600),
    "conductor.deadline_s": _seconds_between(1, 86_400),
    "conductor.reconcile": _one_of("off", "report", "repair"),
    "parameters.store": _one_of("database", "crd"),
    "connector.restart_s": _seconds_between(1, 3_600),
    "connector.restart_wait_s": _seconds_between(0, 300),
    "trust.trust_domain": _trust_domain,
    "trust.agent_certificate_s": _seconds_between(300, 31 * 86_400),
    "trust.server_certificate_s": _seconds_between(3_600, 397 * 86_400),
    "trust.registration_token_s": _seconds_between(300, 86_400),
    "inquiry.prometheus": _http_address,
    "inquiry.approve_risk": _one_of("low", "medium", "high"),
    "llm.provider": _one_of(*PROVIDERS),
    "llm.when": _one_of(*WHEN),
    "llm.temperature": _temperature,
    "llm.timeout_s": _seconds_between(1, 600),
    "work.strategy": _one_of(*STRATEGIES),
    "log.level": _one_of("debug", "info", "warning", "error"),
    "log.format": _one_of("auto", "console", "json"),
}
_MAY_BE_ZERO = {
    "limits.requests_per_s",
    "trust.renew_after_expiry_s",
    "work.reconnect_grace_s",
    "llm.retries",
    "llm.calls",
    "llm.price_prompt",
    "llm.price_completion",
}


def complaint(name: str, value: object) -> str | None:
    """Say what is wrong with the converted value of `section.field`, or None."""
    rule = _RULES.get(name)
    if rule is not None:
        return rule(value) if value is not None else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if name in _MAY_BE_ZERO:
        return "must not be negative" if value < 0 else None
    return "expected a number greater than 0" if value <= 0 else None


def contradictions(settings: Settings) -> list[tuple[str, str]]:
    """Name the settings that are fine alone and wrong together, each with its reason."""
    found = []
    tls = settings.tls
    if (tls.certificate is None) != (tls.key is None):
        found.append(("tls", "certificate and key belong together: set both or neither"))
    if settings.fleet.offline_after <= settings.fleet.late_after:
        found.append(("fleet.offline_after", "must be greater than fleet.late_after"))
    if settings.work.retry_cap_s < settings.work.retry_base_s:
        found.append(("work.retry_cap_s", "must not be smaller than work.retry_base_s"))
    found += _of_model(settings)
    conductor = settings.conductor
    if conductor.cluster == "kubeconfig" and not conductor.kubeconfig:
        found.append(("conductor.cluster", "name the file: --kubeconfig FILE, or KUBECONFIG"))
    if settings.parameters.store == "crd" and conductor.cluster == "none":
        found.append(("parameters.store", "crd needs a cluster; see conductor.cluster"))
    return found


def _of_model(settings: Settings) -> list[tuple[str, str]]:
    """Name what a provider needs and does not have."""
    llm = settings.llm
    found = []
    if llm.provider is None:
        return []
    if not llm.model:
        found.append(("llm.model", "name the model that the provider is asked for"))
    if llm.provider in {"ollama", "azure"} and not llm.endpoint:
        found.append(("llm.endpoint", f"{llm.provider} needs the address of its server"))
    if llm.endpoint and not llm.endpoint.startswith(("http://", "https://")):
        found.append(("llm.endpoint", "expected an address with http:// or https://"))
    if llm.provider in {"vertex", "vertex_ai"} and not llm.vertex_project:
        found.append(("llm.vertex_project", f"{llm.provider} needs the project"))
    if llm.provider == "bedrock" and not llm.bedrock_region:
        found.append(("llm.bedrock_region", "bedrock needs the region"))
    if llm.provider == "bedrock" and llm.headers:
        found.append(("llm.headers", "bedrock takes no headers of your own"))
    if llm.provider == "bedrock" and (llm.api_key or llm.api_key_file) and _plain(llm.endpoint):
        found.append(("llm.endpoint", "bedrock takes a key over https:// only"))
    if llm.api_key and llm.api_key_file:
        found.append(("llm.api_key", "give the key or the file, not both"))
    if llm.provider in _KEYED and not (llm.api_key or llm.api_key_file or llm.endpoint):
        found.append(("llm.api_key_file", f"{llm.provider} needs a key: a file, or STELLWERK_LLM_API_KEY"))
    return found


def _plain(endpoint: str | None) -> bool:
    return bool(endpoint and endpoint.startswith("http://"))


_KEYED = frozenset({"openai", "anthropic", "huggingface", "mistral"})
"""Providers whose own servers want a key; servers of your own may want none."""
