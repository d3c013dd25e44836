"""The forms of the import pages."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.http import QueryDict
from unfold.widgets import UnfoldAdminFileFieldWidget

from imports.columns import Column, ColumnType, checked, column
from imports.models import ImportJob
from profiles.models import DeviceProfile

DELIMITERS = ((",", "Comma"), (";", "Semicolon"), ("|", "Bar"), ("\t", "Tab"))
ENCODINGS = (
    ("utf-8-sig", "UTF-8"),
    ("utf-16", "UTF-16"),
    ("utf-16-le", "UTF-16, little-endian"),
    ("utf-16-be", "UTF-16, big-endian"),
    ("cp1252", "Latin-1 (Windows)"),
    ("latin-1", "Latin-1 (ISO 8859-1)"),
)


class UploadForm(forms.Form):
    file = forms.FileField(label="CSV file", widget=UnfoldAdminFileFieldWidget, help_text="One line for each device. Any size.")
    profile = forms.ModelChoiceField(
        DeviceProfile.objects.all(), empty_label="Choose a profile", help_text="For rows that name no profile."
    )


class SetupForm(forms.ModelForm[ImportJob]):
    delimiter = forms.ChoiceField(label="Delimiter", choices=DELIMITERS)
    encoding = forms.ChoiceField(label="Encoding", choices=ENCODINGS)

    class Meta:
        model = ImportJob
        fields = ("delimiter", "encoding", "header", "update")

    def __init__(self, *args: Any, may_update: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        if not may_update:
            del self.fields["update"]


def columns_of(posted: QueryDict, width: int) -> list[Column]:
    """Return the columns submitted by the mapping page. Raises BadMapping."""
    types = (posted.get(f"type-{index}", ColumnType.IGNORE) for index in range(width))
    return checked([column(word, posted.get(f"key-{index}", "")) for index, word in enumerate(types)])


def sample_cells(rows: Sequence[Sequence[str]], index: int) -> list[str]:
    """Return the sample values of one column."""
    return [row[index] if index < len(row) else "" for row in rows]
