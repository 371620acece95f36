"""Do the weights of a checkpoint make the model that its config.json describes?

config.json and every tensor's shape -> what is missing, too much, or of another size. What holds for every
family: as many layers as config.json says, each with the tensors of its neighbours, and an embedding of
vocab_size rows. For the families in `layer_tensors`, the names and shapes of transformers' own class as well.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from packager.checkpoint.layer_tensors import LAYERS, layer_tensors, setting
from packager.errors import InputError

Shapes = Mapping[str, tuple[int, ...]]
"""Every tensor's shape, rows first, by its name."""

EMBEDDING = re.compile(
    r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|embeddings|token_embd)\.weight$"
)
HEADS = ("lm_head.weight", "embed_out.weight", "output.weight")
_LAYER = re.compile(r"^(?P<before>(?:.*?\.)?(?:layers|h|blocks|block|blk)\.)(?P<number>\d+)\.(?P<rest>.+)$")
_COMPUTED = re.compile(r"(rotary_emb\.inv_freq|\.rope\.freqs|attn\.(masked_)?bias|attention\.(masked_)?bias)$")
"""What older checkpoints keep although it follows from config.json."""
_UNEVEN = ("num_kv_shared_layers", "block_configs", "ffn_multipliers", "num_query_heads", "hybrid_layer_ids")
"""Fields of families whose layers are not alike."""
_SHOWN = 3
AGAIN = "download the base model again; if it was edited, make config.json and weights those of one model"


def layout_problems(config: Mapping[str, Any], shapes: Shapes) -> list[InputError]:
    """Everything in which weights and config.json contradict each other; raises nothing."""
    shapes = {name: shape for name, shape in shapes.items() if not _COMPUTED.search(name)}
    if wrong := _no_numbers(config):
        return wrong
    layers, outside = _by_layer(shapes)
    problems = [*_count_problems(config, layers)]
    if config.get("model_type") in LAYERS:
        problems += _named_problems(config, layers, outside)
    elif not any(config.get(name) for name in _UNEVEN):
        problems += _uneven_problems(config, layers)
    return [*problems, *_embedding_problems(config, shapes)]


def layer_gaps(count: int, shapes: Shapes) -> list[str]:
    """In which the layers of a GGUF file are not `count` with the same tensors each, in words."""
    layers, _ = _by_layer(shapes)
    problems = [*_count_problems({"num_hidden_layers": count}, layers), *_uneven_problems({}, layers)]
    return [problem.message.rstrip(".") for problem in problems]


def embedding(shapes: Shapes) -> str:
    """The name of the embedding ('' if there is none)."""
    return next((name for name, shape in shapes.items() if EMBEDDING.search(name) and len(shape) == 2), "")


def _no_numbers(config: Mapping[str, Any]) -> list[InputError]:
    fields = ("vocab_size", "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads",
              "num_key_value_heads", "head_dim", "max_position_embeddings", "sliding_window")  # fmt: skip
    optional = ("num_key_value_heads", "head_dim", "sliding_window", "max_position_embeddings")
    wrong = [
        f"{name} is {config[name]!r}"
        for name in fields
        if name in config
        and not (isinstance(config[name], int) and not isinstance(config[name], bool) and config[name] > 0)
        and not (name in optional and config[name] in (None, 0))
        and not isinstance(config[name], list)
    ]
    return [InputError(f"config.json: {'; '.join(wrong)}. Whole numbers were expected.", AGAIN)] if wrong else []


def _by_layer(shapes: Shapes) -> tuple[dict[int, dict[str, tuple[int, ...]]], dict[str, tuple[int, ...]]]:
    """Tensors by layer, under the name that they have in it; and those of no layer."""
    layers: dict[int, dict[str, tuple[int, ...]]] = {}
    outside = {}
    for name, shape in shapes.items():
        if match := _LAYER.match(name):
            layers.setdefault(int(match["number"]), {})[f"{match['before']}N.{match['rest']}"] = shape
        else:
            outside[name] = shape
    return layers, outside


def _count_problems(config: Mapping[str, Any], layers: Mapping[int, object]) -> Iterator[InputError]:
    said = next((config[n] for n in ("num_hidden_layers", "n_layer", "num_layers", "n_layers") if n in config), None)
    said = setting(config, "num_hidden_layers") if said is None else said
    if not isinstance(said, int) or set(layers) == set(range(said)):
        return
    absent = sorted(set(range(said)) - set(layers))
    beyond = sorted(set(layers) - set(range(said)))
    parts = [f"layer {_numbers(absent)} is missing from the weights"] if absent else []
    parts += [f"the weights hold layer {_numbers(beyond)} as well, counted from 0"] if beyond else []
    yield InputError(f"num_hidden_layers is {said}, but {' and '.join(parts)}.", AGAIN)


def _numbers(found: Sequence[int]) -> str:
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]} ({len(found)} of them)"


def _uneven_problems(
    config: Mapping[str, Any], layers: Mapping[int, Mapping[str, tuple[int, ...]]]
) -> Iterator[InputError]:
    """Tensors that one layer has and others of its type do not, or has in another size."""
    types = config.get("layer_types")
    for kind in sorted(set(types)) if isinstance(types, list) else [""]:
        alike = {n: t for n, t in layers.items() if not kind or (n < len(types or ()) and (types or ())[n] == kind)}
        faults = []
        for name in sorted({name for tensors in alike.values() for name in tensors}):
            shapes = Counter(tensors.get(name) for tensors in alike.values())
            usual = max(shapes, key=lambda shape: (shapes[shape], shape is not None))
            for number, tensors in alike.items():
                if (found := tensors.get(name)) != usual:
                    full = name.replace("N", str(number), 1)
                    sizes = "missing" if found is None else "in this layer only" if usual is None else (
                        f"{list(found)}, not {list(usual)}")  # fmt: skip
                    faults.append(f"{full} ({sizes})")
        if faults:
            yield InputError(f"Layers of one kind must hold the same tensors: {_listed(faults)}.", AGAIN)


def _named_problems(
    config: Mapping[str, Any],
    layers: Mapping[int, Mapping[str, tuple[int, ...]]],
    outside: Shapes,
) -> Iterator[InputError]:
    """Against the names and shapes of a known class."""
    expected = dict(layer_tensors(config))
    missing, unknown, sizes = [], [], []
    for number, tensors in sorted(layers.items()):
        found = {name.replace("N", str(number), 1): shape for name, shape in tensors.items()}
        wanted = {f"model.layers.{number}.{name}": shape for name, shape in expected.items()}
        missing += sorted(wanted.keys() - found.keys())
        unknown += sorted(found.keys() - wanted.keys())
        sizes += [
            f"{name} is {list(found[name])}, not {list(shape)}"
            for name, shape in wanted.items()
            if name in found and shape and found[name] != shape
        ]
    missing += [name for name in ("model.norm.weight", "model.embed_tokens.weight") if name not in outside]
    unknown += sorted(outside.keys() - {"model.norm.weight", "model.embed_tokens.weight", "lm_head.weight"})
    kind = config.get("model_type")
    if missing:
        yield InputError(f"The weights lack what a {kind} model is made of: {_listed(missing)}.", AGAIN)
    if unknown:
        yield InputError(f"The weights hold what a {kind} model does not use: {_listed(unknown)}.", AGAIN)
    if sizes:
        yield InputError(f"Weights are of another size than config.json says: {_listed(sizes)}.", AGAIN)


def _embedding_problems(config: Mapping[str, Any], shapes: Shapes) -> Iterator[InputError]:
    name, rows = embedding(shapes), setting(config, "vocab_size")
    if not name:
        if config.get("model_type") not in LAYERS:
            yield InputError("The weights hold no embedding.", AGAIN)
        return
    hidden = setting(config, "hidden_size")
    for one in (name, *(head for head in HEADS if head in shapes)):
        found = shapes[one]
        if isinstance(rows, int) and found[0] != rows:
            yield InputError(f"{one} has {found[0]} rows, but config.json says vocab_size: {rows}.", AGAIN)
        if isinstance(hidden, int) and "word_embed_proj_dim" not in config and found[1:] != (hidden,):
            yield InputError(f"{one} is {list(found)}, but config.json says hidden_size: {hidden}.", AGAIN)


def _listed(faults: Sequence[str]) -> str:
    more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return ", ".join(faults[:_SHOWN]) + more
