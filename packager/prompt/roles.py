"""The frame that a chat template puts around each role's content, as a value, and conversations set in it.

`deriving` finds the frames of a base's own template by probing; `frozen` and `ollama.go_template`
write them out again as templates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from packager.prompt.template import Message

ROLES = ("system", "user", "assistant")


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
    """The special token that ends an answer, somewhere in the assistant's suffix."""
    empty_system: str = ""
    """The whole block for a system message that says nothing: often the frame, sometimes nothing at
    all, or the default."""
    refuses_system: bool = False
    """Without a system prefix: whether a system message is an error or ends up where no frame can
    hold it, instead of being passed over."""
    joined: bool = False
    """Whether a system message that begins a conversation opens the first user's turn: it has the
    user's prefix, and the user's turn right after it has none."""
    notes: tuple[str, ...] = ()
    """Where it departs from the base's own template, and why; for people."""

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """The same text as the template."""
        framed = bool(messages) and messages[0]["role"] == "system" and "system" in self.prefix
        head = "" if framed else self.default_system
        turns = "".join(self._block(m, follows=index == 1 and framed) for index, m in enumerate(messages))
        return self.bos + head + turns + (self.generation_prompt if add_generation_prompt else "")

    def _block(self, message: Message, *, follows: bool) -> str:
        """A message in its frame; `follows`: it is the second, after a system message."""
        role: str = message["role"]
        content: str = message["content"]
        if role not in self.prefix:
            return ""
        if role == "system" and not content:
            return self.empty_system
        opening = "" if self.joined and follows and role == "user" else self.prefix[role]
        return opening + content + self.suffix[role]


class OneFrame(NamedTuple):
    """`before` + role + `between` + content + `after`."""

    before: str
    between: str
    after: str


def one_frame(roles: RoleFormat) -> OneFrame | None:
    """The frame of all roles, if theirs differ in nothing but the role's name."""
    if roles.joined or any(role not in roles.prefix for role in ROLES) or len(set(roles.suffix.values())) > 1:
        return None
    if roles.empty_system != roles.prefix["system"] + roles.suffix["system"]:
        return None
    for found in re.finditer("user", roles.prefix["user"]):
        before, between = found.string[: found.start()], found.string[found.end() :]
        if all(roles.prefix[role] == before + role + between for role in ROLES):
            return OneFrame(before, between, roles.suffix["user"])
    return None
