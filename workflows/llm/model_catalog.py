"""Which model a name means, and what is known about it: its provider, its context window and its prices."""

from decimal import Decimal

from django.conf import settings
from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot

from workflows.llm.chat import TokenUsage
from workflows.llm.offline import OFFLINE
from workflows.network import cooldowns

OPENAI_URL = "https://api.openai.com/v1"
CONTEXT_TOKENS = 100_000
"""The most that a model is given, its answer included, unless it is known to take less."""


def base_url() -> str:
    """The address of the provider's API."""
    return settings.CONFIG.openai_base_url or OPENAI_URL


def cooldown_key(model: str) -> str:
    """Names this model of this provider in `cooldowns`."""
    return cooldowns.key_for("model", base_url(), model)


def resolve_model(model_id: str | None, mode_default: str | None) -> str:
    """Returns the model's name for the provider, or OFFLINE.

    That is the step's own model, else the mode's, else DEFAULT_MODEL, and then what MODEL_ALIASES makes of it. Without
    a provider it is always OFFLINE.
    """
    config = settings.CONFIG
    name = model_id or mode_default or config.default_model or OFFLINE
    has_provider = bool(config.openai_api_key or config.openai_base_url)
    if name == OFFLINE or not has_provider:
        return OFFLINE
    return str(config.model_aliases.get(name, name))


def context_tokens(model: str) -> int:
    """How many tokens the model is given at most, its answer included."""
    try:
        _, known = get_snapshot().find_provider_model(model, None, None, base_url())
    except LookupError:
        return CONTEXT_TOKENS
    return min(CONTEXT_TOKENS, known.context_window or CONTEXT_TOKENS)


def cost(tokens: TokenUsage, cached: int, model: str) -> Decimal | None:
    """US dollars for these tokens. The provider read `cached` of them from its cache. None if no price is known."""
    priced = PricedUsage(input_tokens=tokens.input_tokens, cache_read_tokens=cached, output_tokens=tokens.output_tokens)
    try:
        return calc_price(priced, model, provider_api_url=base_url()).total_price
    except (LookupError, ValueError):
        return None
