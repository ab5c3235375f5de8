"""The nine providers: from settings to whoever speaks their wire format.

Everything foreign is imported inside of functions. A server without `llm.provider` loads none of it, and one
with it loads that provider's only: each is tens of megabytes.
"""

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from stellwerk.inquiry.reasoning.conversation import ExtraMissing
from stellwerk.settings.llm import LlmSettings

OPENAI = "https://api.openai.com"
HUGGING_FACE = "https://router.huggingface.co"
"""Speaks the format of OpenAI, as do endpoints of one's own there."""
NO_KEY = "none"
"""What is sent where no key is set: clients of providers insist on one, servers of one's own do not."""
GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"

NEEDS: Mapping[str, tuple[str, ...]] = {
    "openai": ("pydantic_ai", "openai"),
    "ollama": ("pydantic_ai", "openai"),
    "azure": ("pydantic_ai", "openai"),
    "huggingface": ("pydantic_ai", "openai"),
    "anthropic": ("pydantic_ai", "anthropic"),
    "vertex_ai": ("pydantic_ai", "anthropic", "google.auth"),
    "vertex": ("pydantic_ai", "google.genai"),
    "bedrock": ("pydantic_ai", "boto3"),
    "mistral": ("pydantic_ai", "mistralai"),
}


def check_installed(provider: str) -> None:
    """Look whether a provider can be used, without loading it. Raises ExtraMissing."""
    for package in NEEDS[provider]:
        try:
            found = importlib.util.find_spec(package)
        except ModuleNotFoundError:  # of a parent
            found = None
        if found is None:
            raise ExtraMissing(package)


def key_of(settings: LlmSettings) -> str | None:
    """Return the key; a file is read now. Raises OSError."""
    if settings.api_key_file is not None:
        return settings.api_key_file.read_text().strip() or None
    return settings.api_key


def with_version(endpoint: str) -> str:
    """Return an origin with `/v1` behind it, once."""
    origin = endpoint.rstrip("/")
    return origin if origin.endswith("/v1") else f"{origin}/v1"


def model_of(settings: LlmSettings, key: str | None) -> Any:
    """Make the model, as pydantic-ai calls it. Loads packages, which takes seconds: not on the loop."""
    return _MAKERS[settings.provider or ""](settings, key)


def _http(settings: LlmSettings) -> Any:
    import httpx2

    # Nobody is followed elsewhere with a key in hand.
    return httpx2.AsyncClient(
        headers=dict(settings.headers), timeout=settings.timeout_s, follow_redirects=False
    )


def _chat(settings: LlmSettings, key: str | None, base_url: str | None) -> Any:
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    client = AsyncOpenAI(api_key=key or NO_KEY, base_url=base_url, http_client=_http(settings), max_retries=0)
    provider = OpenAIProvider(openai_client=client)
    return OpenAIChatModel(settings.model, provider=provider, profile=_profile(settings, provider))


def _profile(settings: LlmSettings, provider: Any) -> Any:
    """Describe what the server takes: only OpenAI's own knows the newer name of the bound on an answer.

    Others ignore it, and a small model then babbles until its context is full, long after we stopped waiting.
    """
    from pydantic_ai.profiles import merge_profile
    from pydantic_ai.profiles.openai import OpenAIModelProfile

    own = settings.provider == "openai" and (settings.endpoint or OPENAI).startswith(OPENAI)
    usual = provider.model_profile(settings.model)
    return merge_profile(usual, OpenAIModelProfile(openai_chat_supports_max_completion_tokens=own))


def _openai(settings: LlmSettings, key: str | None) -> Any:
    # Named also where it is the usual one: the client would take another from the environment.
    return _chat(settings, key, with_version(settings.endpoint or OPENAI))


def _ollama(settings: LlmSettings, key: str | None) -> Any:
    from openai import AsyncOpenAI
    from pydantic_ai.models.ollama import OllamaModel
    from pydantic_ai.providers.ollama import OllamaProvider

    client = AsyncOpenAI(
        api_key=key or NO_KEY,
        base_url=with_version(settings.endpoint or ""),
        http_client=_http(settings),
        max_retries=0,
    )
    provider = OllamaProvider(openai_client=client)
    return OllamaModel(settings.model, provider=provider, profile=_profile(settings, provider))


def _huggingface(settings: LlmSettings, key: str | None) -> Any:
    return _chat(settings, key, with_version(settings.endpoint or HUGGING_FACE))


def _azure(settings: LlmSettings, key: str | None) -> Any:
    from openai import AsyncAzureOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.azure import AzureProvider

    client = AsyncAzureOpenAI(
        azure_endpoint=settings.endpoint or "",
        api_version=settings.azure_api_version,
        api_key=key or NO_KEY,
        http_client=_http(settings),
        max_retries=0,
    )
    return OpenAIChatModel(settings.model, provider=AzureProvider(openai_client=client))


def _anthropic(settings: LlmSettings, key: str | None) -> Any:
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    client = AsyncAnthropic(
        api_key=key or NO_KEY,
        base_url=(settings.endpoint or "https://api.anthropic.com").rstrip("/").removesuffix("/v1"),
        http_client=_http(settings),
        max_retries=0,
    )
    return AnthropicModel(settings.model, provider=AnthropicProvider(anthropic_client=client))


def _vertex_ai(settings: LlmSettings, key: str | None) -> Any:
    from anthropic import AsyncAnthropicVertex
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    client = AsyncAnthropicVertex(
        region=settings.vertex_location,
        project_id=settings.vertex_project,
        credentials=_google_credentials(key),
        access_token=_access_token(key),
        base_url=with_version(settings.endpoint) if settings.endpoint else None,
        http_client=_http(settings),
        max_retries=0,
    )
    return AnthropicModel(settings.model, provider=AnthropicProvider(anthropic_client=client))


def _vertex(settings: LlmSettings, key: str | None) -> Any:
    from google.oauth2.credentials import Credentials
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google_cloud import GoogleCloudProvider

    token = _access_token(key)
    # The library's types leave out what it takes.
    static = Credentials(token) if token else None  # type: ignore[no-untyped-call,unused-ignore]
    provider = GoogleCloudProvider(
        credentials=_google_credentials(key) or static,
        project=settings.vertex_project,
        location=settings.vertex_location,
        base_url=settings.endpoint,
        http_client=_http(settings),
    )
    return GoogleModel(settings.model, provider=provider)


def _access_token(key: str | None) -> str | None:
    return None if key is None or key.startswith("{") else key


def _google_credentials(key: str | None) -> Any:
    """Return the account that a key file describes; None if it is a token, or there is none."""
    if key is None or not key.startswith("{"):
        return None
    import json

    from google.oauth2 import service_account

    return service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call,unused-ignore]
        json.loads(key), scopes=[GOOGLE_SCOPE]
    )


def _bedrock(settings: LlmSettings, key: str | None) -> Any:
    import boto3
    from botocore.config import Config
    from pydantic_ai.models.bedrock import BedrockConverseModel
    from pydantic_ai.providers.bedrock import BedrockProvider

    if key is not None:
        provider = BedrockProvider(
            api_key=key,
            base_url=settings.endpoint,
            region_name=settings.bedrock_region,
            aws_read_timeout=settings.timeout_s,
            aws_connect_timeout=settings.timeout_s,
        )
        return BedrockConverseModel(settings.model, provider=provider)
    client = boto3.Session(region_name=settings.bedrock_region).client(
        "bedrock-runtime",
        endpoint_url=settings.endpoint,
        config=Config(
            read_timeout=settings.timeout_s,
            connect_timeout=settings.timeout_s,
            retries={"total_max_attempts": 1},
        ),
    )
    return BedrockConverseModel(settings.model, provider=BedrockProvider(bedrock_client=client))


def _mistral(settings: LlmSettings, key: str | None) -> Any:
    from pydantic_ai.models.mistral import MistralModel
    from pydantic_ai.providers.mistral import MistralProvider

    endpoint = (settings.endpoint or "https://api.mistral.ai").rstrip("/").removesuffix("/v1")
    provider = MistralProvider(api_key=key or NO_KEY, base_url=endpoint, http_client=_http(settings))
    return MistralModel(settings.model, provider=provider)


_MAKERS: Mapping[str, Callable[[LlmSettings, str | None], Any]] = {
    "openai": _openai,
    "ollama": _ollama,
    "azure": _azure,
    "vertex": _vertex,
    "vertex_ai": _vertex_ai,
    "anthropic": _anthropic,
    "bedrock": _bedrock,
    "huggingface": _huggingface,
    "mistral": _mistral,
}
