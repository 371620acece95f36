"""Thinking, switched off: a chat template's own way to it, and the frame of an answer without a thought.

Template and generation prompt -> settings and frame. What cannot be switched off is closed at once
where the thought has a closing mark; otherwise the frame carries the fault in words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from packager.errors import InputError
from packager.prompt.template import ChatTemplate, Message

OFF: tuple[tuple[str, Any], ...] = (
    ("enable_thinking", False),  # Qwen3, GLM, SmolLM3, Gemma 4, Nemotron 3, MiniCPM5, ...
    ("thinking", False),  # DeepSeek, Granite, Kimi K3
    ("reasoning", False),  # Cohere
    ("thinking_mode", "disabled"),  # MiniMax M3
    ("thinking_budget", 0),  # Seed OSS
)
"""Every family's switch; a template ignores those it does not know."""
NO_TOOLS: tuple[tuple[str, Any], ...] = (("tools", ()),)
"""For templates that cannot do without a list of tools: an empty one."""
SHOWN = 60
"""Characters of a template that a reason quotes."""
_MARK = re.compile(
    r"<(?P<close>/)?(?P<tag>(?:\w+:)?think(?::\w+)?)>"
    r"|(?P<open>\[THINK\]|<\|START_THINKING\|>|<\|channel>thought|<seed:think>)"
    r"|(?P<end>\[/THINK\]|<\|END_THINKING\|>|<channel\|>|</seed:think>)"
)


@dataclass(frozen=True)
class AnswerFrame:
    """What stands before an answer. `added`: what the template's own generation prompt lacks of it."""

    text: str
    added: str = ""
    note: str = ""
    fault: str = ""


def quiet(template: ChatTemplate, question: Sequence[Message]) -> ChatTemplate:
    """The template with thinking switched off, and with an empty list of tools where it must have one.

    Raises the template's own `InputError` if it renders a question in no such way.
    """
    failed: InputError | None = None
    for settings in (OFF, OFF[:2], (*OFF, *NO_TOOLS)):
        one = replace(template, settings=settings)
        try:
            one.render(question, add_generation_prompt=True)
        except InputError as error:
            failed = failed or error
        else:
            return one
    assert failed is not None
    raise failed


def switched_off(template: ChatTemplate, question: Sequence[Message]) -> str:
    """A note on the switches that change what a quiet template renders, or ''."""

    def rendered(settings: tuple[tuple[str, Any], ...]) -> str:
        try:
            return replace(template, settings=settings).render(question, add_generation_prompt=True)
        except InputError:
            return ""

    now = rendered(template.settings)
    switches = [
        s for s in template.settings if s in OFF and rendered(tuple(t for t in template.settings if t != s)) != now
    ]
    if not switches and rendered(tuple(s for s in template.settings if s not in OFF)) != now:
        switches = [s for s in template.settings if s in OFF]
    told = ", ".join(f"{name}={value!r}" for name, value in switches)
    return f"thinking is switched off, as the base's template does it ({told})" if told else ""


def answer_frame(prompt: str, past: str) -> AnswerFrame:
    """What stands before an answer: the template's generation `prompt`, completed.

    `past` is what it puts before an answer that it is given.
    """
    whole, note = prompt, ""
    thought = _MARK.search(prompt)
    start = prompt[: thought.start()] if thought else prompt
    if past.startswith(prompt):
        whole = past
    elif thought and past.startswith(start):
        if _closed(prompt) and not _MARK.search(past[len(start) :]):
            whole = prompt + past[len(start) :]  # Cohere's <|START_TEXT|> after an empty thought
    else:
        text = prompt.removeprefix(past)
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
        return AnswerFrame(prompt, fault=f"it puts {shown!r} before every answer, and nothing switches that off")
    added = whole[len(prompt) :]
    if added and not added.strip(" "):
        return AnswerFrame(
            whole, fault="it puts a blank before an answer, which tokenizers join to the answer's first word"
        )
    if added:
        note = f"the generation prompt is completed with {added!r}, which the base's template puts before an answer"
    if not _closed(whole):
        close = _closing(whole)
        note = f"the base's template opens a thought that nothing switches off: it is closed at once ({close!r})"
        whole, added = whole + close, added + close
    return AnswerFrame(whole, added, note)


def _closed(text: str) -> bool:
    """Is no thought left open at the end of the text?"""
    marks = list(_MARK.finditer(text))
    return not marks or bool(marks[-1]["close"] or marks[-1]["end"])


def _closing(text: str) -> str:
    """What closes the thought that is open at the end of the text."""
    mark = list(_MARK.finditer(text))[-1]
    ends = {"[THINK]": "[/THINK]", "<|START_THINKING|>": "<|END_THINKING|>", "<|channel>thought": "<channel|>"}
    close = f"</{mark['tag']}>" if mark["tag"] else ends.get(mark[0], "</seed:think>")
    return f"\n{close}\n\n" if text.endswith("\n") else close
