"""Settings of the language model that investigations may use."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROVIDERS = (
    "openai",
    "ollama",
    "azure",
    "vertex",
    "vertex_ai",
    "anthropic",
    "bedrock",
    "huggingface",
    "mistral",
)
"""`vertex` is Gemini on Vertex AI, `vertex_ai` Claude on Vertex AI; `openai` every compatible server, too."""
WHEN = ("always", "unproven")


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """The language model of investigations. Without `provider` there is none."""

    provider: str | None = None
    """openai (and whatever is compatible), ollama, azure, vertex, vertex_ai, anthropic, bedrock, huggingface
    or mistral. Unset means that investigations use no model. Needs the extra `llm`."""
    model: str = ""
    """Name of the model, as the provider calls it; for azure that of the deployment."""
    endpoint: str | None = None
    """Origin of the provider, without `/v1`, which is appended. Needed for ollama and azure; elsewhere unset
    means the provider's own."""
    api_key: str | None = None
    """Key of the provider. Better given by `api_key_file` or STELLWERK_LLM_API_KEY than written here."""
    api_key_file: Path | None = None
    """File with the key, read at the first question. For vertex and vertex_ai a service account (JSON) or an
    access token; unset means there what the machine is logged in with, for bedrock the usual chain of AWS."""
    azure_api_version: str = "2024-10-21"
    """Version of Azure's interface."""
    vertex_project: str = ""
    """Google Cloud project, for vertex and vertex_ai."""
    vertex_location: str = "us-central1"
    """Region of Vertex AI: the one with most models."""
    bedrock_region: str = ""
    """AWS region, for bedrock."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of your own on every request: `X-Team: sre`. Not for bedrock, whose requests are signed."""
    temperature: float | None = None
    """From 0 to 2. Unset means the provider's default: some models refuse any other."""
    answer_tokens: int = 4_096
    """Longest answer of the model to one request: thinking and a page of JSON."""
    timeout_s: float = 60.0
    """How long one answer may take; small models on processors need most of it."""
    retries: int = 2
    """How often a request is repeated that met a limit, an error of the server or no connection."""
    when: str = "always"
    """`always`, or `unproven`: only where objects, events and logs prove no cause. That costs less, and never
    hears a second opinion."""
    turns: int = 12
    """Requests to the model in one investigation, both phases together."""
    tokens: int = 100_000
    """Tokens of one investigation, of prompts and answers together; a page of findings is two thousand."""
    calls: int = 20
    """Reads of the cluster that tools may make in one investigation, beside `inquiry.calls`."""
    seconds: float = 180.0
    """How long the model may take in one investigation. Part of `inquiry.time_limit_s`."""
    price_prompt: float = 0.0
    """Price of a million tokens of prompts, in the currency you count in; 0 means that no cost is told."""
    price_completion: float = 0.0
    """Price of a million tokens of answers."""
