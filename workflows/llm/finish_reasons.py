"""Why a model's answer ended. Providers have many names for four cases; upper and lower case are the same."""

_COMPLETE = {
    *("stop", "eos", "eos_token", "end", "end_turn", "stop_sequence", "complete", "completed", "finished"),
    *("tool_calls", "tool_call", "tool_use", "function_call"),
}
_CUT = {"length", "max_tokens", "max_output_tokens", "model_length", "token_limit", "model_context_window_exceeded"}
_FILTERED = {
    *("content_filter", "content_filtered", "safety", "recitation", "blocklist", "prohibited_content", "spii"),
    *("sensitive", "refusal", "guardrail_intervened", "image_safety", "language"),
}
_NO_ANSWER = {
    *("abort", "aborted", "cancelled", "canceled", "error", "failed", "insufficient_system_resource"),
    *("overloaded", "timeout", "malformed_function_call", "unexpected_tool_call", "finish_reason_unspecified"),
}


def is_no_answer(reason: str) -> bool:
    """The provider gave up: what came is no answer, and another attempt may get one."""
    return reason.lower() in _NO_ANSWER


def is_filtered(reason: str) -> bool:
    """The provider's filter stopped the answer."""
    return reason.lower() in _FILTERED


def warning(reason: str) -> str | None:
    """What a reader should know of an answer that ended so. None for a complete one."""
    name = reason.lower()
    if name in _COMPLETE:
        return None
    if name in _CUT:
        return "The answer ends early: it reached the model's limit."
    if name in _FILTERED:
        return f"The answer ends early: the provider's filter stopped it ({reason})."
    return f"The provider gave an unknown reason for the end of the answer: {reason}."
