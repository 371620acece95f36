"""A role format -> Ollama's TEMPLATE (Go text/template over .Messages), its stops and its limits.

Without white-space control: every byte between two actions is a byte of the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from packager.prompt.roles import ROLES, RoleFormat, one_frame

STORED = "the chat template in the GGUF"
OWN = "a renderer of its own"
_RENDERED_BY_OLLAMA = ("gemma4", "laguna", "nemotron_h")
"""Beginnings of GGUF architectures for which `ollama create` sets RENDERER itself, so that no template counts."""
_SPLIT = re.compile(r"""content\.split\(["']</think>["']\)""")
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
    each = "range $i, $_ := .Messages" if roles.joined else "range .Messages"
    bos = "" if add_bos else _literal(roles.bos)
    return f"{bos}{default}{{{{ {each} }}}}{turns}{{{{ end }}}}{_literal(roles.generation_prompt)}"


def stops(roles: RoleFormat, specials: Sequence[str]) -> tuple[str, ...]:
    """The end-of-turn token, and the special tokens that open a turn.

    `specials` are the tokenizer's special tokens, longest first.
    """
    openings = (next((s for s in specials if prefix.startswith(s)), "") for prefix in roles.prefix.values())
    return tuple(dict.fromkeys(s for s in (roles.end_of_turn, *openings) if s))


def preferred(template: str, stored: str, architecture: str = "") -> str:
    """Which template Ollama renders since 0.30: TEMPLATE, unless the Jinja `stored` in the GGUF can do
    more (it knows tools or thinking, and TEMPLATE does not). A frozen template knows neither. Of some GGUF
    architectures it renders none of the two.

    How Ollama tells, from the text: tools by `tools` or `tool_call`; thinking by `<think>` with
    `</think>`, or by content that is split at `</think>` (unless `reasoning_content` or `<SPECIAL_12>`
    says that the template takes thoughts apart by itself).
    """
    if architecture.startswith(_RENDERED_BY_OLLAMA):
        return OWN
    tools = "tools" in stored or "tool_call" in stored
    splits = bool(_SPLIT.search(stored)) and not ("reasoning_content" in stored or "<SPECIAL_12>" in stored)
    thinks = ("<think>" in stored and "</think>" in stored) or splits
    more = (tools and ".Tools" not in template) or (thinks and ".Think" not in template)
    return STORED if more else "TEMPLATE"


def limits(roles: RoleFormat, taken: str = "TEMPLATE") -> tuple[str, ...]:
    """What Ollama renders otherwise than training, if it takes the template `taken`; for people."""
    if taken == STORED:
        found = [
            "consecutive turns of one role are not merged, as TEMPLATE's are",
            "a conversation that ends in an answer is left open",
        ]
    else:
        found = ["consecutive turns of one role are merged, with a blank line between"]
    if roles.refuses_system:
        found.append("a system message is left out, the chat template refuses it or puts it into another turn")
    return tuple(found)


def _one_frame(roles: RoleFormat) -> str:
    """`before{{ .Role }}between{{ .Content }}after`, or '' if the roles' frames differ in more than the name."""
    if not (frame := one_frame(roles)):
        return ""
    before, between, after = map(_literal, frame)
    return f"{before}{{{{ .Role }}}}{between}{{{{ .Content }}}}{after}"


def _frame_per_role(roles: RoleFormat) -> str:
    branches = []
    for role in filter(roles.prefix.__contains__, ROLES):
        opening = _literal(roles.prefix[role])
        if roles.joined and role == "user" and opening:
            opening = f'{{{{ if or (ne $i 1) (ne (index $.Messages 0).Role "system") }}}}{opening}{{{{ end }}}}'
        block = f"{opening}{{{{ .Content }}}}{_literal(roles.suffix[role])}"
        if role == "system" and roles.empty_system != roles.prefix[role] + roles.suffix[role]:
            silent = f"{{{{ else }}}}{_literal(roles.empty_system)}" if roles.empty_system else ""
            block = f"{{{{ if .Content }}}}{block}{silent}{{{{ end }}}}"
        branches.append(f'if eq .Role "{role}" }}}}{block}')
    return "{{ " + "{{ else ".join(branches) + "{{ end }}"


def _literal(text: str) -> str:
    """Text as a Go template prints it: braces that would open an action are quoted inside one."""
    return _BRACES.sub(lambda braces: f'{{{{ "{braces[0]}" }}}}', text)
