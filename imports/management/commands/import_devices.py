"""`manage.py import_devices FILE --profile NAME`: import a list of devices."""

import json
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser

from imports.choices import ImportSource, ImportState, Verdict
from imports.columns import BadMapping, Column, from_option, mapped, numbered
from imports.csv.file_format import FileFormat, UnreadableFile, detect
from imports.csv.records import Records
from imports.pipeline import Chunk, ImportSpec, import_file
from imports.row_results import described
from imports.services import job_create, job_run
from profiles.models import DeviceProfile

BAR_WIDTH = 30


class Command(BaseCommand):
    help = "Import a list of devices from a CSV file. The exit code is 1 if a row was refused."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="the CSV file; - reads standard input")
        parser.add_argument("--profile", required=True, metavar="NAME", help="profile of rows that name none")
        parser.add_argument(
            "--column",
            action="append",
            default=[],
            metavar="HEADER=TYPE[:KEY]",
            help="what a column holds (default: guessed from its header); without header, by its number from 1",
        )
        parser.add_argument("--delimiter", default="", metavar="D", help="one character, or \\t (default: detected)")
        parser.add_argument("--encoding", default="", help="UTF-8, UTF-16 or Latin-1 (default: detected)")
        parser.add_argument("--no-header", action="store_true", help="the first line is a device, not a header")
        parser.add_argument("--update", action="store_true", help="update devices that exist")
        parser.add_argument("--dry-run", action="store_true", help="show what would be done, and write nothing")
        parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")

    def handle(self, *, file: str, profile: str, column: list[str], delimiter: str, **options: Any) -> None:
        found = DeviceProfile.objects.filter(name=profile).first()
        if found is None:
            raise CommandError(f"There is no profile {profile!r}.")
        with ExitStack() as stack:
            opened, form, columns, headers = _opened(stack, file, column, delimiter, **options)
            report = _Report(self, opened, as_json=options["json"], dry_run=options["dry_run"])
            spec = ImportSpec(form, columns, found, update=options["update"], dry_run=options["dry_run"])
            _run(spec, opened, headers, "standard input" if file == "-" else Path(file).name, report)
        report.finish()
        if report.errors:
            sys.exit(1)


def _opened(
    stack: ExitStack, file: str, column: list[str], delimiter: str, **options: Any
) -> tuple[BinaryIO, FileFormat, list[Column], list[str]]:
    """Return the file, its format, its columns and its headers. Raises CommandError if it cannot be read."""
    try:
        opened = stack.enter_context(_seekable(file))
        delimiter = delimiter.replace("\\t", "\t")
        form = detect(opened, encoding=options["encoding"], delimiter=delimiter, header=not options["no_header"])
        return opened, form, *_columns(opened, form, column)
    except (UnreadableFile, BadMapping) as err:
        raise CommandError(str(err)) from None
    except OSError as err:
        raise CommandError(f"{file} cannot be read: {err.strerror}.") from None


def _seekable(name: str) -> BinaryIO:
    if name != "-":
        return Path(name).open("rb")
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    shutil.copyfileobj(sys.stdin.buffer, copy)
    return copy


def _columns(file: BinaryIO, form: FileFormat, options: list[str]) -> tuple[list[Column], list[str]]:
    overrides = dict(from_option(option) for option in options)
    records = Records(_unclosed(file), form)
    if form.header:
        return mapped(records.headers, overrides), records.headers
    first = next(iter(records), None)
    return numbered(len(first.fields) if first else 0, overrides), []


def _unclosed(file: BinaryIO) -> BinaryIO:
    return os.fdopen(os.dup(file.fileno()), "rb")


def _run(spec: ImportSpec, file: BinaryIO, headers: list[str], file_name: str, report: "_Report") -> None:
    if spec.dry_run:
        import_file(file, spec, on_commit=report.add)
        return
    job = job_create(
        file_name=file_name,
        source=ImportSource.COMMAND,
        profile=spec.profile,
        state=ImportState.QUEUED,
        size_bytes=report.size_bytes,
        encoding=spec.form.encoding,
        delimiter=spec.form.delimiter,
        header=spec.form.header,
        headers=headers,
        columns=[column.as_json() for column in spec.columns],
        update=spec.update,
    )
    if not job_run(job=job, file=file, on_commit=report.add):
        raise CommandError("The import was cancelled. Rows imported so far stay.")


class _Report:
    """Output for the operator: a progress bar on a terminal, refused rows, and totals."""

    def __init__(self, command: BaseCommand, file: BinaryIO, *, as_json: bool, dry_run: bool) -> None:
        self._command, self._as_json, self._dry_run = command, as_json, dry_run
        self.size_bytes = os.fstat(file.fileno()).st_size
        self._counts = dict.fromkeys(Verdict, 0)
        self._errors_list: list[str] = []

    @property
    def errors(self) -> int:
        return self._counts[Verdict.REFUSED]

    def add(self, chunk: Chunk) -> None:
        """Count the rows of `chunk`, which is committed, and print refused rows."""
        for one in chunk.decisions:
            self._counts[one.verdict] += 1
            if one.verdict == Verdict.REFUSED:
                self._refused(f"Line {one.row.record.line}: {one.refusal}")
            elif self._dry_run and not self._as_json:
                self._command.stdout.write(f"Line {one.row.record.line}: {described(one)}")
        self._bar(chunk.end_byte)

    def _refused(self, text: str) -> None:
        if self._as_json:
            self._errors_list.append(text)
        else:
            self._clear_bar()
            self._command.stderr.write(text)

    def finish(self) -> None:
        self._clear_bar()
        names = {
            Verdict.CREATED: "created",
            Verdict.UPDATED: "updated",
            Verdict.UNCHANGED: "unchanged",
            Verdict.REFUSED: "errors",
        }
        counts = {name: self._counts[verdict] for verdict, name in names.items()}
        if self._as_json:
            self._command.stdout.write(json.dumps(counts | {"errorsList": self._errors_list}))
        else:
            would = "would be: " if self._dry_run else ""
            self._command.stdout.write(would + ", ".join(f"{count} {name}" for name, count in counts.items()))

    def _bar(self, done_bytes: int) -> None:
        if not self._command.stderr.isatty():
            return
        share = min(1.0, done_bytes / max(1, self.size_bytes))
        bar = "#" * round(share * BAR_WIDTH)
        self._command.stderr.write(f"\r[{bar:<{BAR_WIDTH}}] {share:4.0%} {sum(self._counts.values()):,} rows", ending="")

    def _clear_bar(self) -> None:
        if self._command.stderr.isatty():
            self._command.stderr.write("\r\x1b[K", ending="")
