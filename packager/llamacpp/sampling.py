"""A recipe's `serve` section -> llama.cpp's chain of samplers, which chooses the next token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from packager.recipe.sections import Serve


def sampling_chain(lib: Any, sampling: Serve, seed: int, n_context: int, n_vocab: int) -> Any:
    """The samplers of the recipe's `serve` section, in llama.cpp's own order."""
    last = n_context if sampling.repeat_last_n < 0 else sampling.repeat_last_n
    made = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
    steps = []
    if sampling.repeat_penalty != 1 and last:
        steps.append(lib.llama_sampler_init_penalties(n_vocab, last, sampling.repeat_penalty, 0.0, 0.0))
    if sampling.temperature == 0:
        steps.append(lib.llama_sampler_init_greedy())
    else:
        steps += [
            lib.llama_sampler_init_top_k(sampling.top_k),
            lib.llama_sampler_init_top_p(sampling.top_p, 1),
            lib.llama_sampler_init_min_p(sampling.min_p, 1),
            lib.llama_sampler_init_temp(sampling.temperature),
            lib.llama_sampler_init_dist(seed),
        ]
    for step in steps:
        lib.llama_sampler_chain_add(made, step)
    return made
