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
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path),
    metavar="OUT.html",
    help="Also write a page that shows the data, with ten rows as they are trained.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")  # fmt: skip
def audit(
    source: str,
    written: Path | None,
    question: str,
    answer: str,
    topic: str,
    encoding: str,
    sheet: str | None,
    page: Path | None,
    as_json: bool,
) -> None:
    """Say what is in the data: duplicates, leaks, lengths, language, damage, patient identifiers."""
    from packager.cli import auditing
    from packager.data.audit import files
    from packager.data.audit.rendering import render_audit
    from packager.data.rows.recognise import Named

    for out in filter(None, (written, page)):
        auditing.must_be_writable(out)
    named = Named(question, answer, topic)
    auditing.check_asked(source, named, encoding, sheet)
    auditing.must_not_overwrite(source, written, page)
    found = auditing.audit(source, named, encoding, sheet, redact=written is not None)
    prepared = found.prepared
    if written:
        click.echo(f"{files.write_rows(prepared, written)} rows written to {written}", err=True)
    if page:
        auditing.write_page(page, found)
        click.echo(f"Page written to {page}", err=True)
    if as_json:
        click.echo(json.dumps(prepared.audit.model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        told = (*(f"Taken: {line}." for line in found.taken), render_audit(prepared.audit), *files.samples(prepared))
        click.echo("\n".join(told))
    if found.recipe is None:
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

        flags = {"base": base, "language": language, "system": system, "question": question, "answer": answer,
                 "topic": topic, "encoding": encoding, "sheet": sheet}  # fmt: skip
        if given := [f"--{flag}" for flag, value in flags.items() if value]:
            raise click.UsageError(f"{', '.join(given)} goes with --data: --feedback writes no recipe. Take it out.")

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
    from packager.cli.recipe_needs import needs
    from packager.recipe import fields as reference
    from packager.recipe import loading
    from packager.recipe.loading import shipped

    if fields or markdown:
        click.echo(reference.markdown().rstrip() if markdown else summary.of_fields(reference.fields()))
        return
    loaded = [loading.load(str(path)) for path in shipped()]
    told = {r.name: needs(r, summary.BUILD_DIR) for r in loaded}
    dumped = [{"name": r.name, "base": r.base.model, "data": r.data.source, "about": r.description,
               "needs": told[r.name]} for r in loaded]  # fmt: skip
    click.echo(json.dumps(dumped, indent=2, ensure_ascii=False) if as_json else summary.of_recipes(loaded, told))


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
    """Fetch the vendored llama.cpp (converter and sources), check it, and try the compiled library; fetch the model
    that approved material is searched with. `make setup` runs this."""
    from packager.knowledge.embedding_model import embedding_model
    from packager.llamacpp import vendored
    from packager.llamacpp.processor_check import check_runs
    from packager.llamacpp.vendored import fetch_source
    from packager.process import progress

    with progress.route(progress.Display()):
        fetch_source()
        embedding_model()
    check_runs()
    click.echo(f"llama.cpp {vendored.commit()} is in place and runs.")
