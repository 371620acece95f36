"""A base's own chat template -> its role format, found by probing, with thinking switched off.

Sentinel messages are rendered and the text around them is cut out; the parts are then proven to
make the whole on single questions, with and without a system message. Where a template renders the
past otherwise than the present, the frame of the present holds for all turns; that and all else that
departs from the template stands in the notes. Fails with `InputError` for a template that is not a
fixed frame per role.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from packager.errors import InputError
from packager.prompt.departures import notes
from packager.prompt.roles import RoleFormat
from packager.prompt.sentinels import AGAIN, ASK, BOS, SAY, SYSTEM, SYSTEM_TURN, TURNS, said
from packager.prompt.template import ChatTemplate, Message
from packager.prompt.thinking import AnswerFrame, answer_frame, quiet

JOINER = "\n\n"
"""Between a system message and the first question, where the template knows no system message: the
way of Gemma's prompt guide, and of the Mistral and Gemma 3 templates that do it themselves."""


@dataclass(frozen=True)
class _Renders:
    """What a template makes of the sentinels, cut at them."""

    head: str
    """Before the first question."""
    asked: str
    """After a question that is to be answered, without and with generation prompt."""
    prompted: str
    answered: str
    """Between a question and the last answer."""
    said: str
    """After the last answer."""
    after: str
    """Between an answer and the next question."""


def derive_roles(template: ChatTemplate, specials: Sequence[str]) -> RoleFormat:
    """Take a template apart by rendering sentinels, and prove that the parts make the whole.

    `specials` are the tokenizer's special tokens, longest first. Raises `InputError` for a template
    that is not a fixed prefix and suffix per role.
    """
    template = quiet(template, TURNS[:1])
    renders = _renders(template)
    faults = []
    for user_suffix, (closing, past) in itertools.product(
        _asked(renders, specials), _closings(renders, template.eos_token, specials)
    ):
        end_of_turn = _end_token(closing, template.eos_token, specials)
        if not end_of_turn:
            continue
        user = renders.after[len(past) :]
        if not renders.head.endswith(user):
            faults.append("the first user turn looks different from the later ones")
            continue
        frame = answer_frame(renders.prompted[len(user_suffix) :], renders.answered[len(user_suffix) :])
        if frame.fault:
            faults.append(frame.fault)
            continue
        roles = _with_system(template, _without_system(template, renders, user, user_suffix, closing, frame.text), user)
        roles = replace(roles, end_of_turn=end_of_turn)
        if _adds_up(template, roles, frame):
            return replace(roles, notes=notes(template, roles, frame))
        faults.append("its parts do not add up to the whole")
    raise _inexpressible(
        faults[0] if faults else "no special token ends an answer, so the model could not learn to stop"
    )


def _renders(template: ChatTemplate) -> _Renders:
    head, prompted = _cut(template.render(TURNS[:1], add_generation_prompt=True), ASK)
    asked = template.render(TURNS[:1], add_generation_prompt=False).partition(ASK)[2]
    _, answered, said = _cut(template.render(TURNS[:2], add_generation_prompt=False), ASK, SAY)
    _, _, after, _ = _cut(template.render(TURNS, add_generation_prompt=True), ASK, SAY, AGAIN)
    return _Renders(head, asked, prompted, answered, said, after)


def _asked(renders: _Renders, specials: Sequence[str]) -> Iterator[str]:
    """What may close a question: what a conversation that ends there ends in, or a leading special
    token with its white space, or nothing."""
    candidates = (renders.asked, _leading(renders.prompted, specials), "")
    both = (renders.prompted, renders.answered)
    return iter(dict.fromkeys(c for c in candidates if all(text.startswith(c) for text in both)))


def _closings(renders: _Renders, eos_token: str, specials: Sequence[str]) -> list[tuple[str, str]]:
    """What may close an answer, in the present and in the past.

    First what a conversation that ends there ends in; then the same without the EOS token that some
    templates close a whole conversation with; then a leading special token with its white space,
    where the template leaves the last answer open, or closes it with another token (gpt-oss).
    """
    tails = (renders.said, renders.said.removesuffix(eos_token), _through(renders.after, eos_token, specials))
    leading = _leading(renders.after, specials)
    own = renders.said if renders.said.strip() in specials and not renders.after.startswith(renders.said) else leading
    found = [*((tail, tail) for tail in tails), (own, leading)]
    return [(closing, past) for closing, past in found if renders.after.startswith(past)]


def _through(text: str, eos_token: str, specials: Sequence[str]) -> str:
    """The text up to its EOS token, with the white space after."""
    if not eos_token or eos_token not in text or eos_token not in specials:
        return ""
    rest = text.partition(eos_token)[2]
    return text[: len(text) - len(rest.lstrip())]


def _leading(text: str, specials: Sequence[str]) -> str:
    """The text up to its first special token, if only white space stands before it, and the white space after."""
    bare = text.lstrip()
    token = next((s for s in specials if bare.startswith(s)), "")
    if not token:
        return ""
    rest = bare[len(token) :]
    return text[: len(text) - len(rest.lstrip())]


def _end_token(closing: str, eos_token: str, specials: Sequence[str]) -> str:
    """The special token that ends an answer: the tokenizer's EOS, else the last one in what closes it."""
    if eos_token and eos_token in specials and eos_token in closing:
        return eos_token
    return max((s for s in specials if s in closing), key=lambda s: (closing.rfind(s) + len(s), len(s)), default="")


def _without_system(
    template: ChatTemplate, renders: _Renders, user: str, user_suffix: str, closing: str, answer: str
) -> RoleFormat:
    opening = renders.head[: len(renders.head) - len(user)]
    bos = _bos(template, opening, (user, answer))
    return RoleFormat(
        bos=bos,
        default_system=opening[len(bos) :],
        prefix={"user": user, "assistant": answer},
        suffix={"user": user_suffix, "assistant": closing},
        generation_prompt=answer,
        end_of_turn="",
    )


def _bos(template: ChatTemplate, opening: str, prefixes: Sequence[str]) -> str:
    """The BOS token, if the template prints one: as the variable, or spelled out.

    A spelled-out token that also opens turns belongs to their frame (SmolLM2's BOS is `<|im_start|>`).
    """
    token = template.bos_token
    if not token or not opening.startswith(token):
        return ""
    marked = replace(template, bos_token=BOS).render(TURNS, add_generation_prompt=True)
    spelled_out = not any(p.startswith(token) for p in prefixes)
    return token if marked.startswith(BOS) or spelled_out else ""


def _with_system(template: ChatTemplate, roles: RoleFormat, user: str) -> RoleFormat:
    """Add the system message's frame: its own, or the first user's turn where it has none."""
    try:
        text = template.render([SYSTEM_TURN, *TURNS[:1]], add_generation_prompt=True)
    except InputError:
        return _join(roles, JOINER, user) if not roles.default_system else replace(roles, refuses_system=True)
    if SYSTEM not in text:
        return roles
    before, _, rest = text.partition(SYSTEM)
    between, found, _ = rest.partition(ASK)
    if before == roles.bos + user and found and not roles.default_system and not between.endswith(user or ASK):
        framed = _join(roles, between, user)
    elif found and before.startswith(roles.bos) and between.endswith(user):
        prefix, suffix = before[len(roles.bos) :], between[: len(between) - len(user)]
        framed = replace(
            roles,
            prefix={"system": prefix, **roles.prefix},
            suffix={"system": suffix, **roles.suffix},
            empty_system=prefix + suffix,
        )
    else:
        return replace(roles, refuses_system=True)
    silent = template.render([said(SYSTEM_TURN, ""), *TURNS[:1]], add_generation_prompt=True)
    block = framed.render([SYSTEM_TURN, *TURNS[:1]]).partition(SYSTEM + framed.suffix["system"])[2]
    block = block.removesuffix(framed.generation_prompt)
    at = silent.rfind(block.partition(ASK)[0] + ASK)
    return replace(framed, empty_system=silent[len(roles.bos) : at]) if at >= len(roles.bos) else framed


def _join(roles: RoleFormat, joiner: str, user: str) -> RoleFormat:
    return replace(
        roles,
        prefix={"system": user, **roles.prefix},
        suffix={"system": joiner, **roles.suffix},
        empty_system=user,
        joined=True,
    )


def _adds_up(template: ChatTemplate, roles: RoleFormat, frame: AnswerFrame) -> bool:
    """Do the parts make the whole, on single questions with and without a system message?"""
    singles: list[Sequence[Message]] = [TURNS[:1]]
    if "system" in roles.prefix:
        singles += [(SYSTEM_TURN, *TURNS[:1]), (said(SYSTEM_TURN, ""), *TURNS[:1])]
    elif not roles.refuses_system:
        singles.append((SYSTEM_TURN, *TURNS[:1]))
    for messages in singles:
        try:
            own = template.render(messages, add_generation_prompt=True)
        except InputError:
            if messages[0]["role"] == "system" and roles.joined:
                continue  # it refuses system messages: ours is the way of the guides
            raise
        if own + frame.added != roles.render(messages):
            return False
    return True


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
        f"The chat template cannot be used: it does not set system, question and answer each between texts that stay"
        f" the same ({why}), as a server in the clinic needs it.",
        "give a simpler template in data.template, or use another base",
    )
