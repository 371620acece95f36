"""Messages that nobody writes, whose place in a rendered text shows the frame around them."""

from __future__ import annotations

from packager.prompt.template import Message

ASK, SAY, AGAIN, SYSTEM, BOS = "@@ask-0@@", "@@say-0@@", "@@ask-1@@", "@@sys-0@@", "@@bos@@"
TURNS: tuple[Message, ...] = (
    {"role": "user", "content": ASK},
    {"role": "assistant", "content": SAY},
    {"role": "user", "content": AGAIN},
)
SYSTEM_TURN: Message = {"role": "system", "content": SYSTEM}


def said(message: Message, content: str) -> Message:
    """The message with another content."""
    return {**message, "content": content}
