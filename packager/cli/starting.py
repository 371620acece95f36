"""Commands for before the first build: the machine, the data, a new recipe."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from packager.cli.options import main


def column_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How a bare file is to be read, where the names of its columns do not tell."""
    for option in (
        click.option("--sheet", metavar="NAME", help="Which sheet of a spreadsheet, where there are several."),
        click.option("--encoding", default="", help="Encoding of a text file (default: it is looked for)."),
        click.option("--topic", default="", metavar="COLUMN", help="Column with the topics."),
        click.option("--answer", default="", metavar="COLUMN", help="Column with the answers."),
        click.option("--question", default="", metavar="COLUMN", help="Column with the questions."),
    ):
        command = option(command)
    return command


@main.command()
@click.argument("source", metavar="FILE|RECIPE")
@click.option(
    "--write",
    "written",
    type=click.Path(path_type=Path),
    metavar="OUT.jsonl",
    help="Also write the cleaned rows, identifiers redacted.",
)
@column_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def audit(
    source: str,
    written: Path | None,
    question: str,
    answer: str,
    topic: str,
    encoding: str,
    sheet: str | None,
    as_json: bool,
) -> None:
    """Say what is in the data: duplicates, leaks, lengths, language, damage, patient identifiers."""
    from packager.data.audit import files
    from packager.data.audit.rendering import render_audit
    from packager.data.rows.recognise import Named
    from packager.recipe import loading

    is_recipe = source.endswith((".yaml", ".yml")) or loading.is_named(source)
    taken: tuple[str, ...] = ()
    if is_recipe:
        prepared = files.audit_recipe(loading.load(source), redact=written is not None)
    else:
        described = files.describe(source, encoding, sheet, Named(question, answer, topic))
        prepared = files.audit_file(source, redact=written is not None, described=described)
        taken = described.taken
    if written:
        click.echo(f"{files.write_rows(prepared, written)} rows written to {written}", err=True)
    found = prepared.audit
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join([*(f"Taken: {line}." for line in taken), render_audit(found), *files.samples(prepared)]))
    if not is_recipe:
        click.echo(f"Next: packager new NAME --data {shlex.quote(str(written or source))}", err=True)


@main.command()
@click.argument("name")
@click.option("--data", "source", default="", metavar="FILE", help="Questions and answers: file, folder or hf:name.")
@click.option(
    "--feedback",
    "notes",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Instead: what the clinic's page exported, as rows to review; repeatable.",
)
@click.option("--base", default="", metavar="MODEL", help="Base model (default: the small one of smollm2_aps).")
@click.option("--language", type=click.Choice(["pt-BR", "en"]), default=None, help="What it is to answer in.")
@click.option("--system", default="", metavar="TEXT|COLUMN", help="System message, or the column that holds it.")
@column_options
def new(
    name: str,
    source: str,
    notes: tuple[Path, ...],
    base: str,
    language: str | None,
    system: str,
    question: str,
    answer: str,
    topic: str,
    encoding: str,
    sheet: str | None,
) -> None:
    """Write a recipe for a data file into recipes/ (or here, without such a folder), and say what was assumed."""
    if bool(source) == bool(notes):
        raise click.UsageError("Give --data FILE, or --feedback FILE.")
    if notes:
        from packager.cli import feedback

        written, count = feedback.write(name, notes)
        click.echo(
            f"Wrote {written}: {count} rows to review. Write the right answer into `answer`, take out the others."
        )
        click.echo(f"Next: packager audit {written}, and add them to the data of the recipe.")
        return
    from packager.cli import new_recipe, summary
    from packager.cli.new_recipe import Wanted
    from packager.data.rows.recognise import Named

    wanted = Wanted(source, base, language or "", encoding, sheet, system, Named(question, answer, topic))
    path, assumed = new_recipe.write(name, wanted)
    click.echo(f"Wrote {path}. Assumed from what the data look like:\n{assumed}")
    click.echo(f"Next: {summary.command('check', name, {})}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--fields", is_flag=True, help="Print every recipe field with its default and meaning.")
@click.option("--markdown", is_flag=True, help="Print them as docs/recipe.md.")
def recipes(as_json: bool, fields: bool, markdown: bool) -> None:
    """List the recipes with what each needs."""
    from packager.cli import summary
    from packager.recipe import fields as reference
    from packager.recipe import loading
    from packager.recipe.loading import shipped

    if fields or markdown:
        click.echo(reference.markdown().rstrip() if markdown else summary.of_fields(reference.fields()))
        return
    loaded = [loading.load(str(path)) for path in shipped()]
    dumped = [{"name": r.name, "base": r.base.model, "data": r.data.source, "about": r.description} for r in loaded]
    click.echo(json.dumps(dumped, indent=2, ensure_ascii=False) if as_json else summary.of_recipes(loaded))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Say what this machine can train and run."""
    from packager.cli import doctor as diagnosis
    from packager.cli.doctor import render_report

    report = diagnosis.examine()
    click.echo(json.dumps(report, indent=2, ensure_ascii=False) if as_json else render_report(report))


@main.command()
def setup() -> None:
    """Fetch the vendored llama.cpp (converter and sources), check it, and try the compiled library.
    `make setup` runs this."""
    from packager.llamacpp import vendored
    from packager.llamacpp.processor_check import check_runs
    from packager.llamacpp.vendored import fetch_source
    from packager.process import progress

    with progress.route(progress.Display()):
        fetch_source()
    check_runs()
    click.echo(f"llama.cpp {vendored.commit()} is in place and runs.")
