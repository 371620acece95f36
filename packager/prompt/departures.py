"""A base's own template and the role format derived from it -> where the two differ, and why; for people.

What the log and the manifest tell of a frozen template.
"""

from __future__ import annotations

from collections.abc import Sequence

from packager.errors import InputError
from packager.prompt.roles import RoleFormat
from packager.prompt.sentinels import AGAIN, ASK, SYSTEM_TURN, TURNS, said
from packager.prompt.template import ChatTemplate, Message
from packager.prompt.thinking import NO_TOOLS, AnswerFrame, switched_off


def notes(template: ChatTemplate, roles: RoleFormat, frame: AnswerFrame) -> tuple[str, ...]:
    """Where the frames depart from the base's own template, and why."""
    tools = "the base's template is one for tools: it is rendered with none"
    found = (
        switched_off(template, TURNS[:1]),
        tools if NO_TOOLS[0] in template.settings else "",
        frame.note,
        _refused_system(template, roles),
        _rewritten_past(template, roles, frame),
        _stripped(template, roles),
    )
    return tuple(note for note in found if note)


def _refused_system(template: ChatTemplate, roles: RoleFormat) -> str:
    if not roles.joined or _own(template, [SYSTEM_TURN, *TURNS[:1]]) is not None:
        return ""
    return "the base's template refuses a system message: it opens the first user turn, with a blank line after it"


def _rewritten_past(template: ChatTemplate, roles: RoleFormat, frame: AnswerFrame) -> str:
    conversations: list[Sequence[Message]] = [TURNS, *([(SYSTEM_TURN, *TURNS)] if "system" in roles.prefix else [])]
    renders = [(_own(template, messages), roles.render(messages)) for messages in conversations]
    if all(own is None or own + frame.added == ours for own, ours in renders):
        return ""
    past, present = (str(text).partition(ASK)[2].partition(AGAIN)[0] for text in renders[0])
    shown = f" ({past!r}, here {present!r})" if past != present else ""
    return (
        f"the base's template renders past turns otherwise than the present one{shown}: the frame of the present holds"
        " for all turns, so that every answer is trained as it is served"
    )


def _stripped(template: ChatTemplate, roles: RoleFormat) -> str:
    """White space around a content is kept by all engines alike; where the base's own strips it is told."""
    whole: list[Message] = [SYSTEM_TURN, *TURNS] if "system" in roles.prefix else [*TURNS]
    conversation = whole if _own(template, whole) is not None else [*TURNS]
    stripped = set()
    for index, message in enumerate(conversation):
        for blank in (" ", "\n"):
            padded = f"{blank}{message['content']}{blank}"
            own = _own(template, [*conversation[:index], said(message, padded), *conversation[index + 1 :]])
            if own is not None and padded not in own:
                stripped.add(message["role"])
    if not stripped:
        return ""
    return f"white space around what these say is kept, which the base's template strips: {', '.join(sorted(stripped))}"


def _own(template: ChatTemplate, messages: Sequence[Message]) -> str | None:
    """What the base's own template makes of a conversation; None if it refuses it."""
    try:
        return template.render(messages, add_generation_prompt=True)
    except InputError:
        return None
