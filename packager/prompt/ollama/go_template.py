"""A role format -> Ollama's TEMPLATE (Go text/template over .Messages), its stops and its limits.

Without white-space control: every byte between two actions is a byte of the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from packager.prompt.roles import RoleFormat

ROLES = ("system", "user", "assistant")
_BRACES = re.compile(r"\{{2,}|\{\Z")


def go_template(roles: RoleFormat, *, add_bos: bool) -> str:
    """The Go template that renders what `roles` renders.

    `add_bos`: the GGUF's tokenizer puts the BOS token before every prompt; otherwise its text, if
    the chat template prints it, stands in the template.
    """
    default = _literal(roles.default_system)
    if default and "system" in roles.prefix:
        default = f'{{{{ if ne (index .Messages 0).Role "system" }}}}{default}{{{{ end }}}}'
    turns = _one_frame(roles) or _frame_per_role(roles)
    bos = "" if add_bos else _literal(roles.bos)
    return f"{bos}{default}{{{{ range .Messages }}}}{turns}{{{{ end }}}}{_literal(roles.generation_prompt)}"


def stops(roles: RoleFormat, specials: Sequence[str]) -> tuple[str, ...]:
    """The end-of-turn token, and the special tokens that open a turn.

    `specials` are the tokenizer's special tokens, longest first.
    """
    openings = (next((s for s in specials if prefix.startswith(s)), "") for prefix in roles.prefix.values())
    return tuple(dict.fromkeys(s for s in (roles.end_of_turn, *openings) if s))


def preferred(template: str, stored: str) -> str:
    """Which template Ollama renders since 0.30: TEMPLATE, unless the Jinja stored in the GGUF can do
    more (it knows tools, and TEMPLATE does not)."""
    knows_tools = "tools" in stored or "tool_call" in stored
    return "the chat template in the GGUF" if knows_tools and ".Tools" not in template else "TEMPLATE"


def limits(roles: RoleFormat) -> tuple[str, ...]:
    """What Ollama renders otherwise than the chat template, whatever its TEMPLATE says; for people."""
    found = ["consecutive turns of one role are merged, with a blank line between"]
    if roles.trimmed:
        found.append(f"white space around what {_and(sorted(roles.trimmed))} say is kept, the chat template strips it")
    if roles.refuses_system:
        found.append("a system message is left out, the chat template refuses it or puts it into another turn")
    elif not roles.late_system:
        found.append("a system message after the first turn is framed like one before it")
    return tuple(found)


def _one_frame(roles: RoleFormat) -> str:
    """`before{{ .Role }}between{{ .Content }}after`, or '' if the roles' frames differ in more than the name."""
    if any(role not in roles.prefix for role in ROLES) or len(set(roles.suffix.values())) > 1:
        return ""
    if roles.empty_system != roles.prefix["system"] + roles.suffix["system"]:
        return ""
    for found in re.finditer("user", roles.prefix["user"]):
        before, between = found.string[: found.start()], found.string[found.end() :]
        if all(roles.prefix[role] == before + role + between for role in ROLES):
            after = roles.suffix["user"]
            return f"{_literal(before)}{{{{ .Role }}}}{_literal(between)}{{{{ .Content }}}}{_literal(after)}"
    return ""


def _frame_per_role(roles: RoleFormat) -> str:
    branches = []
    for role in filter(roles.prefix.__contains__, ROLES):
        block = f"{_literal(roles.prefix[role])}{{{{ .Content }}}}{_literal(roles.suffix[role])}"
        if role == "system" and roles.empty_system != roles.prefix[role] + roles.suffix[role]:
            silent = f"{{{{ else }}}}{_literal(roles.empty_system)}" if roles.empty_system else ""
            block = f"{{{{ if .Content }}}}{block}{silent}{{{{ end }}}}"
        branches.append(f'if eq .Role "{role}" }}}}{block}')
    return "{{ " + "{{ else ".join(branches) + "{{ end }}"


def _literal(text: str) -> str:
    """Text as a Go template prints it: braces that would open an action are quoted inside one."""
    return _BRACES.sub(lambda braces: f'{{{{ "{braces[0]}" }}}}', text)


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
