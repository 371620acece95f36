"""What of the Hub can be had for an evaluation: asked once in a process, before anything runs.

A name -> why it cannot be had, with what to do about it, or None.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from packager.errors import Interrupted, PackagerError


@functools.cache
def model(name: str, revision: str | None, files: Sequence[str]) -> PackagerError | None:
    """Of a model repo, the named small files."""
    from packager.hub.reading import fetch_small

    return _refusal(lambda: fetch_small(name, revision, files))


@functools.cache
def dataset(name: str, revision: str | None = None) -> PackagerError | None:
    from packager.hub.reading import dataset_commit

    return _refusal(lambda: dataset_commit(name, revision))


def _refusal(question: Callable[[], object]) -> PackagerError | None:
    try:
        question()
    except Interrupted:
        raise
    except PackagerError as error:
        return error
    return None
