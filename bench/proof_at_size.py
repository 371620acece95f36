"""The line and its proof on a model of a real one's shape: random weights, a real tokenizer, so many steps.

    python bench/proof_at_size.py --shape qwen25_1.5b --steps 1 4 60 [--method qlora] [--work FOLDER]

A build of random weights in which nothing is wrong: a check that fails is a false alarm, and the command ends with 1.
Prints a line for each number of steps: the checks that failed, or how many passed, and each stage's seconds. One
folder serves all numbers of steps, so that the base is made and read once. It asks no smoke questions (nothing random
answers them) and loads each file only. Nothing is downloaded. Takes, on the disk, some 12 bytes a parameter.

Shapes: tiny_qwen2, tiny_phi3, tiny_llama3, qwen25_1.5b, phi3_3.8b, llama31_8b.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests"), str(ROOT)]

import shapes  # noqa: E402
import standins  # noqa: E402

from packager.artifacts.checks import tally  # noqa: E402
from packager.artifacts.kinds import Proof  # noqa: E402
from packager.checkpoint.layer_tensors import layer_tensors  # noqa: E402
from packager.errors import PackagerError  # noqa: E402
from packager.pipeline import build as building  # noqa: E402
from packager.process import progress  # noqa: E402
from packager.recipe.recipe import Recipe  # noqa: E402

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "tiny_qwen2": ("qwen2", {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
                             "num_attention_heads": 4, "num_key_value_heads": 2}),
    "tiny_phi3": ("phi3", {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
                           "num_attention_heads": 4, "num_key_value_heads": 4}),
    "tiny_llama3": ("llama3", {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
                               "num_attention_heads": 4, "num_key_value_heads": 2}),
    "qwen25_1.5b": ("qwen2", {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
                              "num_attention_heads": 12, "num_key_value_heads": 2}),
    "phi3_3.8b": ("phi3", {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
                           "num_attention_heads": 32, "num_key_value_heads": 32}),
    "llama31_8b": ("llama3", {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
                              "num_attention_heads": 32, "num_key_value_heads": 8}),
}  # fmt: skip
"""Architecture, and the fields of config.json that make the shape."""


def make_base(shape: str, folder: Path) -> Path:
    """A checkpoint of the shape with random FP16 weights and its architecture's real tokenizer."""
    architecture, sizes = SHAPES[shape]
    standins.make(architecture, folder)
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | sizes
    layers = config["num_hidden_layers"]
    of_shape = {
        "head_dim": config["hidden_size"] // config["num_attention_heads"],
        "layer_types": [*config.get("layer_types", ["full_attention"])[:1]] * layers,
        "max_window_layers": layers,
        "torch_dtype": "float16",
        "dtype": "float16",
    }
    config |= {name: value for name, value in of_shape.items() if name in config}
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    shapes.write_random(_tensors(config), config["initializer_range"], folder)
    return folder


def _tensors(config: dict[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    table = (config["vocab_size"], config["hidden_size"])
    layer = list(layer_tensors(config))
    found = [("model.embed_tokens.weight", table)]
    found += [(f"model.layers.{i}.{name}", size) for i in range(config["num_hidden_layers"]) for name, size in layer]
    found.append(("model.norm.weight", table[1:]))
    return found if config["tie_word_embeddings"] else [*found, ("lm_head.weight", table)]


def recipe(shape: str, base: Path, steps: int, given: argparse.Namespace) -> Recipe:
    """The shape on the default recipe's rows, without questions."""
    template = {"template": str(ROOT / "recipes/data/alpaca_pt.jinja")} if SHAPES[shape][0] == "llama3" else {}
    return Recipe.model_validate(
        {
            "name": "at_size",
            "base": {"model": str(base), "licence": "apache-2.0"},
            "data": {"source": str(ROOT / "recipes/data/aps.jsonl"), "fields": {"topic": "topic"}, **template},
            "train": {
                "method": given.method,
                "lora": {"rank": 16, "alpha": 32},
                "epochs": 1000,
                "max_steps": steps,
                "batch": {"examples_per_step": 8},
                "checkpoint_seconds": 3600,
            },
            "quantize": {"types": given.types, "imatrix": given.imatrix},
            "serve": {"context": given.context, "max_answer_tokens": 64},
            "device": {"ram_gb": 1000, "min_tokens_per_second": 0, "max_seconds_to_first_token": 1000},
        }
    )


def run(shape: str, steps: int, given: argparse.Namespace) -> dict[str, Any]:
    """Build as far as the proof; what failed, and each stage's seconds."""
    folder: Path = given.work / shape
    if not (folder / "base.made").is_file():
        make_base(shape, folder / "base")
        (folder / "base.made").touch()
    failed: list[str] = []
    passed, error = "", ""
    try:
        with progress.route(progress.Display()):
            proof = building.build(recipe(shape, folder / "base", steps, given), folder / "run", "proof")
        assert isinstance(proof, Proof)
        passed = tally(proof.checks)
    except PackagerError as stopped:
        error = stopped.message
    seconds: dict[str, float] = {}
    for path in sorted((folder / "run").glob("*/stage.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        seconds[path.parent.name] = record.get("seconds", 0.0)
        failed += [f"{c['id']}: {c['says']}" for c in record["artifact"].get("checks", ()) if not c["passed"]]
    return {"shape": shape, "steps": steps, "method": given.method, "passed": passed,
            "failed": list(dict.fromkeys(failed)), "error": error, "seconds": seconds}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 4, 60])
    parser.add_argument("--method", choices=("qlora", "lora"), default="qlora")
    parser.add_argument("--types", nargs="+", default=["Q4_K_M", "Q8_0"])
    parser.add_argument("--imatrix", action="store_true", help="with an importance matrix, as recipes have by default")
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--work", type=Path, help="where it is built and kept (default: a folder that is deleted)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="packager-") as spare:
        given.work = given.work or Path(spare)
        results = [run(given.shape, steps, given) for steps in given.steps]
    for result in results:
        print(json.dumps(result, ensure_ascii=False))
    sys.exit(any(result["failed"] or result["error"] for result in results))


if __name__ == "__main__":
    main()
