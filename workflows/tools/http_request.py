"""HTTP_REQUEST: calls any public web address."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from workflows.errors import BadArguments
from workflows.network import http_client
from workflows.tools import Arguments, StepContext, Tool, register


class HttpRequestArguments(Arguments):
    """Values of the URL's query, of headers and of the body may contain `{{secret.NAME}}`."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] = "GET"
    url: str = Field(min_length=1, description="begins with http:// or https://")
    headers: dict[str, str] = Field(default_factory=dict)
    json_body: Any = Field(None, alias="json", description="sent as JSON")
    body: str | None = Field(None, description="sent unchanged, instead of json")
    timeout_seconds: float = Field(120, alias="timeoutSeconds", gt=0, le=3600)

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.json_body is not None and self.body is not None:
            raise ValueError("give json or body, not both")
        return self


@register
class HttpRequest(Tool):
    slug = "HTTP_REQUEST"
    description = "Calls a web address and returns its status, headers and JSON or text."
    Arguments: ClassVar[type[Arguments]] = HttpRequestArguments
    form_fields: ClassVar[Mapping[str, str]] = {"url": "line"}
    secrets_in: ClassVar[frozenset[str]] = frozenset({"url", "headers", "json", "body"})

    has_outside_effects = True  # also with GET: a URL carries data too

    def destinations(self, context: StepContext, arguments: HttpRequestArguments) -> list[str]:
        return [http_client.host_and_port(arguments.url)]

    async def run(self, context: StepContext, arguments: HttpRequestArguments) -> dict[str, Any]:
        response = await http_client.send(
            http_client.Request(
                method=arguments.method,
                url=arguments.url,
                headers=_headers(arguments, context.idempotency_key),
                json=arguments.json_body,
                body=arguments.body.encode() if arguments.body is not None else None,
                timeout=arguments.timeout_seconds,
            )
        )
        http_client.raise_for_status(response)
        return {"status": response.status, "headers": response.headers, **_content(response)}


def _headers(arguments: HttpRequestArguments, idempotency_key: str) -> dict[str, str]:
    headers = {name.lower(): value for name, value in arguments.headers.items()}
    if len(headers) < len(arguments.headers):
        raise BadArguments("A header appears twice. Header names are not case-sensitive: keep one of them.")
    return {"idempotency-key": idempotency_key, **headers}


def _content(response: http_client.Response) -> dict[str, Any]:
    """`json` if the response is declared as JSON and can be parsed, otherwise `text`."""
    if response.is_json:
        try:
            return {"json": response.json()}
        except ValueError:
            pass
    return {"text": response.text}
