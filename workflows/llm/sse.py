"""Server-sent events, as the HTML standard defines their stream (section 9.2.6), from the bytes of a response.

Comments (`:`), `id:`, `retry:` and `event:` are passed over: the events of Chat Completions are their data alone.
"""

from collections.abc import AsyncIterator

DONE = "[DONE]"
MAX_LINE = 16_000_000
"""Bytes."""


async def data_of_events(blocks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yields the data of each event. It ends at `[DONE]`, or with the bytes. Raises ValueError for an endless line."""
    data: list[str] = []
    async for line in _lines(blocks):
        if line.startswith("data:"):
            data.append(line[5:].strip())
        elif not line and (event := "\n".join(data).strip()):
            data = []
            if event == DONE:
                return
            yield event
    # A stream that is cut off ends without the blank line.
    if (event := "\n".join(data).strip()) and event != DONE:
        yield event


async def _lines(blocks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Lines end in LF or CR LF, and nowhere else: JSON may hold other characters that Python takes for a line's end."""
    rest = b""
    async for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > MAX_LINE:
            raise ValueError(f"a line of more than {MAX_LINE:,} bytes")
        for line in lines:
            yield line.decode("utf-8", "replace").rstrip("\r").lstrip("\ufeff")
    if rest:
        yield rest.decode("utf-8", "replace").rstrip("\r")
    yield ""
