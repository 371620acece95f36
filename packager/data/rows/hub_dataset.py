"""Data sets of the Hub: `hf:org/name` -> one JSON Lines file in the local cache, and its commit.

The split is fetched once with the `datasets` library at the commit that the recipe's revision
stands for; after that no network is needed. A revision that is not a commit keeps the commit it had
when it was fetched. Fails if the Hub cannot be reached, or has no such data set, revision,
configuration or split.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from packager.artifacts.files import cache_folder, key_of, write_json
from packager.errors import InputError, MissingResource
from packager.recipe.sections import Data

ROWS, RECORD = "rows.jsonl", "source.json"


def cached(config: Data) -> tuple[Path, str] | None:
    """The rows on this machine and their commit, or None if they were not fetched yet."""
    folder = _folder(config)
    try:
        return folder / ROWS, str(json.loads((folder / RECORD).read_text(encoding="utf-8"))["commit"])
    except (OSError, ValueError, KeyError):
        return None


def local(config: Data) -> tuple[Path, str]:
    """The rows on this machine and their commit; fetched now if they are not there yet."""
    if (found := cached(config)) is not None:
        return found
    from packager.hub.reading import dataset_commit

    repo = config.source.removeprefix("hf:")
    commit = dataset_commit(repo, config.revision)
    folder = _folder(config)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, suffix=".partial", delete=False) as aside:
        try:
            for row in _load(config, repo, commit):
                aside.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
        except BaseException:
            Path(aside.name).unlink()
            raise
    Path(aside.name).replace(folder / ROWS)
    record = {"repo": repo, "commit": commit, "subset": config.subset, "split": config.hub_split}
    write_json(folder / RECORD, record)
    return folder / ROWS, commit


def _load(config: Data, repo: str, commit: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingResource("Data sets of the Hub need the datasets library.", "pip install datasets") from error
    datasets.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(repo, config.subset, split=config.hub_split, revision=commit)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise InputError(f"{repo}: {error}", "check the name, or `hf auth login`") from error
    except ValueError as error:  # unknown configuration or split; the message lists those there are
        raise InputError(f"{repo}: {error}", "correct data.subset or data.hub_split") from error
    except (datasets.exceptions.DatasetsError, datasets.exceptions.DataFilesNotFoundError) as error:
        raise InputError(f"{repo} cannot be read: {error}", "give its files as a folder") from error
    except RuntimeError as error:  # a data set with a loading script: code, which is never run
        raise InputError(f"{repo} cannot be read: {error}", "give its files as a folder") from error
    except OSError as error:
        raise MissingResource(
            f"Could not fetch {repo} ({type(error).__name__}).", "check the network and run again"
        ) from error


def _folder(config: Data) -> Path:
    key = key_of(config.source, config.revision, config.subset, config.hub_split)[:16]
    return cache_folder("datasets", key)
