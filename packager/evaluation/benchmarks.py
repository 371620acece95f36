"""Public benchmarks through lm-evaluation-harness: base and tuned checkpoint -> accuracy ± standard error.

MedMCQA, MedQA (4 options) and SQuAD completion. With a folder of local copies (`FOLDER/TASK/*.jsonl`,
`.json`, `.csv` or `.parquet`, in the columns of the data sets on the Hub) no network is needed: the
tasks below put the same questions to the model as the harness's own. Without one, the harness's own
tasks fetch their data from the Hub. Runs in a child, in transformers, on the GPU if there is one.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from packager.artifacts.evaluation import BASE, TUNED, BenchmarkResult, LeftOut
from packager.artifacts.files import key_of, sha256_of, write_json
from packager.artifacts.kinds import Checkpoint
from packager.errors import InputError, Interrupted, MissingResource, PackagerError
from packager.evaluation import availability
from packager.process import child, progress
from packager.recipe.evaluation import Benchmarks

FOLDER = "PACKAGER_BENCHMARKS"
READERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
ON_THE_HUB = {
    "medmcqa": "openlifescienceai/medmcqa",
    "medqa_4options": "GBaker/MedQA-USMLE-4-options-hf",
    "squad_completion": "hazyresearch/based-squad",
}
"""Where the harness's own tasks take their data."""
CHOICES = ["A", "B", "C", "D"]
MULTIPLE_CHOICE: dict[str, Any] = {
    "output_type": "multiple_choice",
    "doc_to_choice": CHOICES,
    "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in ("acc", "acc_norm")],
}
TASKS: dict[str, dict[str, Any]] = {
    "medmcqa": MULTIPLE_CHOICE
    | {
        "doc_to_text": "Question: {{question}}\nChoices:\nA. {{opa}}\nB. {{opb}}\nC. {{opc}}\nD. {{opd}}\nAnswer:",
        "doc_to_target": "cop",
    },
    "medqa_4options": MULTIPLE_CHOICE
    | {
        "doc_to_text": "Question: {{sent1}}\nA. {{ending0}}\nB. {{ending1}}\nC. {{ending2}}\nD. {{ending3}}\nAnswer:",
        "doc_to_target": "label",
    },
    "squad_completion": {
        "output_type": "generate_until",
        "doc_to_text": "{{text.strip()}}",
        "doc_to_target": "{{value.strip()}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 48, "do_sample": False},
        "metric_list": [{"metric": "contains", "aggregation": "mean", "higher_is_better": True}],
    },
}


def contains(doc: Mapping[str, str], results: Sequence[str]) -> dict[str, int]:
    """Does the completion hold the wanted words, whatever their case?"""
    return {"contains": int(doc["value"].strip().casefold() in results[0].casefold())}


def folder_of(wanted: Benchmarks) -> Path | None:
    """Where the local copies lie, if anywhere."""
    named = wanted.folder or os.environ.get(FOLDER)
    return Path(named).expanduser() if named else None


def unreachable(wanted: Benchmarks | None) -> list[LeftOut]:
    """What cannot be measured here, as far as it is known beforehand."""
    if wanted is None:
        return []
    if importlib.util.find_spec("lm_eval") is None:
        fix = "pip install -c constraints.txt '.[benchmarks]'"
        why = "lm-evaluation-harness is not installed"
        return [LeftOut(what=f"benchmark {task}", why=why, fix=fix) for task in wanted.tasks]
    folder = folder_of(wanted)
    if folder is None:
        fix = f"put local copies into a folder and name it in {FOLDER} or evaluate.benchmarks.folder"
        refused = ((task, availability.dataset(ON_THE_HUB[task])) for task in wanted.tasks)
        return [LeftOut(what=f"benchmark {task}", why=error.message, fix=fix) for task, error in refused if error]
    return [
        LeftOut(what=f"benchmark {task}", why=f"{folder / task} holds no data file",
                fix=f"put a copy there as {', '.join(READERS)}")
        for task in wanted.tasks
        if not _file(folder / task)
    ]  # fmt: skip


def fingerprint(wanted: Benchmarks | None) -> list[object]:
    """The questions that are there, by their hashes."""
    folder = folder_of(wanted) if wanted else None
    found = [(task, _file(folder / task)) for task in wanted.tasks] if wanted and folder else []
    return [[task, sha256_of(path)] for task, path in found if path]


def measure(
    wanted: Benchmarks | None, base: Checkpoint, tuned: Checkpoint | None, cache: Path, left: list[LeftOut]
) -> Iterator[BenchmarkResult]:
    """Every task on the base and, if there is one, the tuned checkpoint; what is known comes from the cache."""
    absent = unreachable(wanted)
    left += absent
    gone = {one.what.removeprefix("benchmark ") for one in absent}
    if wanted is None:
        return
    folder = folder_of(wanted)
    for task in (t for t in wanted.tasks if t not in gone):
        path = _file(folder / task) if folder else None
        for name, model in ((BASE, base), (TUNED, tuned)):
            if model is None:
                continue
            key = key_of(task, model.content, wanted.rows, sha256_of(path) if path else "hub", "one type")[:24]
            store = cache / f"benchmark-{key}.json"
            if not store.is_file():
                progress.note(f"{task}: asking {name}")
                try:
                    found = child.call(ask, model.folder, name, task, path, wanted.rows, online=path is None).value
                except Interrupted:
                    raise
                except PackagerError as error:
                    left.append(LeftOut(what=f"benchmark {task}", why=error.message, fix=error.fix, failed=True))
                    break
                write_json(store, found.model_dump(mode="json"))
            yield BenchmarkResult.model_validate(json.loads(store.read_text(encoding="utf-8")))


def ask(folder: Path, name: str, task: str, path: Path | None, rows: int | None) -> BenchmarkResult:
    """One task on the checkpoint in `folder`, zero-shot."""
    import lm_eval
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(child.physical_cores())
    kind = number_type(device)
    wanted: Any = task if path is None else local_task(task, path)
    try:
        found = lm_eval.simple_evaluate(
            model="hf",
            model_args={"pretrained": str(folder), "dtype": kind},
            tasks=[wanted],
            device=device,
            batch_size=8,
            limit=rows,
            bootstrap_iters=0,
            log_samples=False,
        )
    except (ConnectionError, OSError) as error:
        raise MissingResource(
            f"The data of {task} cannot be fetched ({type(error).__name__}).",
            f"put a local copy into a folder and name it in {FOLDER} or evaluate.benchmarks.folder",
        ) from error
    except (KeyError, ValueError) as error:
        raise InputError(
            f"The data of {task} cannot be used: {error}", "give them in the columns of the Hub's data set"
        ) from error
    scores = next(iter(found["results"].values()))
    metric = "contains" if "contains,none" in scores else "acc"
    n = int(next(iter(found["n-samples"].values()))["effective"])
    value = float(scores[f"{metric},none"])
    return BenchmarkResult(
        benchmark=task,
        model=name,
        metric=metric,
        value=value,
        # Of a mean of zeros and ones, as the harness computes it for `mean`.
        stderr=(value * (1 - value) / (n - 1)) ** 0.5 if n > 1 else None,
        n=n,
        source="local copy" if path else "Hub",
        computed_in=kind,
    )


def number_type(device: str) -> str:
    """What both models compute in: the base's file and the merged one's hold different types, and `auto` would
    compare rounding with training."""
    import torch

    if device == "cpu":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def local_task(task: str, path: Path) -> dict[str, Any]:
    """The harness's configuration of a task that reads a local file."""
    files = {"data_files": {"validation": str(path)}}
    config = {"task": f"{task}_local", "dataset_path": READERS[path.suffix], "dataset_kwargs": files} | TASKS[task]
    config |= {"validation_split": "validation"}
    return config | ({"process_results": contains} if task == "squad_completion" else {})


def _file(folder: Path) -> Path | None:
    """The data file in a folder; one of validation or test, if there are several."""
    found = sorted(p for p in folder.glob("*") if p.suffix in READERS) if folder.is_dir() else []
    named = [p for p in found if "valid" in p.stem or "test" in p.stem or "dev" in p.stem]
    return next(iter(named or found), None)
