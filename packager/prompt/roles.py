"""A chat template -> the frame it puts around each role's content, found by probing.

Sentinel messages are rendered and the text around them is cut out; the parts are then proven to
make the whole. Fails with `InputError` for a template that is not a fixed frame per role.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from packager.errors import InputError
from packager.prompt.template import ChatTemplate, Message

ASK, SAY, AGAIN, SYSTEM, BOS = "@@ask-0@@", "@@say-0@@", "@@ask-1@@", "@@sys-0@@", "@@bos@@"
TURNS: tuple[Message, ...] = (
    {"role": "user", "content": ASK},
    {"role": "assistant", "content": SAY},
    {"role": "user", "content": AGAIN},
)
SYSTEM_TURN: Message = {"role": "system", "content": SYSTEM}


@dataclass(frozen=True)
class RoleFormat:
    """A template taken apart: what stands before and after each role's content.

    A conversation is `bos`, then the default system block if it does not begin with a system
    message, then prefix + content + suffix of every message, then `generation_prompt`. Roles without
    a prefix are left out.
    """

    bos: str
    default_system: str
    """The whole block that stands for a missing system message ('' if there is none)."""
    prefix: Mapping[str, str]
    suffix: Mapping[str, str]
    generation_prompt: str
    end_of_turn: str
    """The special token that ends an answer."""
    empty_system: str = ""
    """The whole block for a system message that says nothing: often the frame, sometimes nothing at
    all, or the default."""
    refuses_system: bool = False
    """Without a system prefix: whether a system message is an error or ends up inside another turn
    (then it cannot be framed), instead of being passed over."""
    trimmed: frozenset[str] = frozenset()
    """Roles whose content the template strips of outer white space; `render` does not."""
    late_system: bool = True
    """Whether a system message after the first turn has the frame of one before it."""

    def render(self, messages: Sequence[Message]) -> str:
        """The same text as the template with a generation prompt."""
        framed = bool(messages) and messages[0]["role"] == "system" and "system" in self.prefix
        head = "" if framed else self.default_system
        return self.bos + head + "".join(self._block(m) for m in messages) + self.generation_prompt

    def _block(self, message: Message) -> str:
        role: str = message["role"]
        content: str = message["content"]
        if role not in self.prefix:
            return ""
        if role == "system" and not content:
            return self.empty_system
        return self.prefix[role] + content + self.suffix[role]


def derive_roles(template: ChatTemplate, specials: Sequence[str]) -> RoleFormat:
    """Take a template apart by rendering sentinels, and prove that the parts make the whole.

    `specials` are the tokenizer's special tokens, longest first. Raises `InputError` for a template
    that is not a fixed prefix and suffix per role.
    """
    head, between, after, last = _cut(template.render(TURNS, add_generation_prompt=True), ASK, SAY, AGAIN)
    if last != between:
        raise _inexpressible("an answer follows another prefix in the past than in the present")
    asked = template.render(TURNS[:1], add_generation_prompt=False).partition(ASK)[2]
    said = template.render(TURNS[:2], add_generation_prompt=False).partition(SAY)[2]
    why = "no special token ends an answer, so the model could not learn to stop"
    for user_suffix, answer_suffix in itertools.product(
        _suffixes(between, asked, template.eos_token, specials), _suffixes(after, said, template.eos_token, specials)
    ):
        end_of_turn = next((s for s in specials if answer_suffix.startswith(s)), "")
        if not end_of_turn:
            continue
        prefix = {"user": after[len(answer_suffix) :], "assistant": between[len(user_suffix) :]}
        suffix = {"user": user_suffix, "assistant": answer_suffix}
        if not head.endswith(prefix["user"]):
            why = "the first user turn looks different from the later ones"
            continue
        opening = head[: len(head) - len(prefix["user"])]
        bos = _bos(template, opening, prefix.values())
        roles = RoleFormat(bos, opening[len(bos) :], prefix, suffix, prefix["assistant"], end_of_turn)
        roles = _with_system(template, roles)
        fault = _fault(template, roles)
        if not fault:
            return _with_limits(template, roles)
        why = fault
    raise _inexpressible(why)


def _suffixes(between: str, tail: str, eos_token: str, specials: Sequence[str]) -> Iterator[str]:
    """Where the text between two contents may be split into the first's suffix and the second's prefix.

    First what a conversation that ends there ends in; then the same without the EOS token that some
    templates close a whole conversation with; then a leading special token with its white space. In
    alternating turns any split renders the same; the first is the template author's own.
    """
    token = next((s for s in specials if between.startswith(s)), "")
    blank = len(between[len(token) :]) - len(between[len(token) :].lstrip()) if token else 0
    candidates = (tail, tail.removesuffix(eos_token), between[: len(token) + blank])
    return iter(dict.fromkeys(c for c in candidates if between.startswith(c)))


def _bos(template: ChatTemplate, opening: str, prefixes: Iterable[str]) -> str:
    """The BOS token, if the template prints one: as the variable, or spelled out.

    A spelled-out token that also opens turns belongs to their frame (SmolLM2's BOS is `<|im_start|>`).
    """
    token = template.bos_token
    if not token or not opening.startswith(token):
        return ""
    marked = replace(template, bos_token=BOS).render(TURNS, add_generation_prompt=True)
    spelled_out = not any(p.startswith(token) for p in prefixes)
    return token if marked.startswith(BOS) or spelled_out else ""


def _with_system(template: ChatTemplate, roles: RoleFormat) -> RoleFormat:
    """Add the system message's frame, or note that it has none."""
    try:
        text = template.render([SYSTEM_TURN, *TURNS], add_generation_prompt=True)
    except InputError:
        return replace(roles, refuses_system=True)
    if SYSTEM not in text:
        return roles
    before, _, rest = text.partition(SYSTEM)
    between, found, _ = rest.partition(ASK)
    if not (found and before.startswith(roles.bos) and between.endswith(roles.prefix["user"])):
        return replace(roles, refuses_system=True)
    prefix, suffix = before[len(roles.bos) :], between[: len(between) - len(roles.prefix["user"])]
    framed = replace(
        roles,
        prefix={"system": prefix, **roles.prefix},
        suffix={"system": suffix, **roles.suffix},
        empty_system=prefix + suffix,
    )
    silent = template.render([_said(SYSTEM_TURN, ""), *TURNS], add_generation_prompt=True)
    rest = framed.render(TURNS)[len(framed.bos + framed.default_system) :]
    if not (silent.startswith(roles.bos) and silent.endswith(rest)):
        return framed
    return replace(framed, empty_system=silent[len(roles.bos) : len(silent) - len(rest)])


def _with_limits(template: ChatTemplate, roles: RoleFormat) -> RoleFormat:
    """Note which roles' content the template strips, and whether it frames a late system message otherwise."""

    def differs(messages: Sequence[Message]) -> bool:
        try:
            return template.render(messages, add_generation_prompt=True) != roles.render(messages)
        except InputError:
            return True

    conversation = [SYSTEM_TURN, *TURNS] if "system" in roles.prefix else [*TURNS]
    trimmed = {
        message["role"]
        for index, message in enumerate(conversation)
        for blank in (" ", "\n")
        if differs([*conversation[:index], _said(message, f"{blank}{ASK}{blank}"), *conversation[index + 1 :]])
    }
    late = not differs([*TURNS[:2], SYSTEM_TURN, TURNS[2]])
    return replace(roles, trimmed=frozenset(trimmed), late_system=late)


def _fault(template: ChatTemplate, roles: RoleFormat) -> str:
    """Why the parts do not make the whole, or ''."""
    conversations = [TURNS[:1], TURNS]
    if "system" in roles.prefix:
        conversations += [
            (system, *turns) for system in (SYSTEM_TURN, _said(SYSTEM_TURN, "")) for turns in conversations
        ]
    elif not roles.refuses_system:
        conversations.append((SYSTEM_TURN, *TURNS))
    if any(roles.render(c) != template.render(c, add_generation_prompt=True) for c in conversations):
        return "its parts do not add up to the whole"
    trained = roles.render(TURNS[:1]) + SAY + roles.end_of_turn
    if not template.render(TURNS[:2], add_generation_prompt=False).startswith(trained):
        return "it puts something before an answer that the generation prompt lacks"
    return ""


def _said(message: Message, content: str) -> Message:
    return {**message, "content": content}


def _cut(text: str, *marks: str) -> list[str]:
    parts = []
    for mark in marks:
        part, found, text = text.partition(mark)
        if not found:
            raise _inexpressible("it leaves out or rewrites what a message says")
        parts.append(part)
    return [*parts, text]


def _inexpressible(why: str) -> InputError:
    return InputError(
        f"The chat template cannot be expressed as a fixed frame per role: {why}.",
        "give a simpler template in data.template",
    )
