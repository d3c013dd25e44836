"""Requests and responses of the import API."""

import json
from typing import Any

from rest_framework import serializers

from imports.columns import BadMapping, Column, ColumnType, checked, column, from_option
from imports.models import ImportJob
from profiles.models import DeviceProfile


class ColumnSerializer(serializers.Serializer[Column]):
    type = serializers.ChoiceField(ColumnType.choices, help_text="Type of the column.")
    key = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, help_text="Key, for attributes and time series."
    )


class MappingSerializer(serializers.Serializer[dict[str, Any]]):
    columns = ColumnSerializer(many=True, help_text="One for each column of the file, in order.")
    delimiter = serializers.CharField(default=",", max_length=1, trim_whitespace=False)
    header = serializers.BooleanField(default=True, help_text="Whether the first line contains column names.")
    update = serializers.BooleanField(default=False, help_text="Whether existing devices are updated.")  # type: ignore[assignment]

    def validate_columns(self, value: list[dict[str, str | None]]) -> list[Column]:
        return _checked([column(entry["type"] or "", entry.get("key") or "") for entry in value])


class FileText(serializers.CharField):
    """Text of any characters: a control character makes its row invalid, not the whole file."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.validators = []


class BulkImportSerializer(serializers.Serializer[dict[str, Any]]):
    """The body that ThingsBoard's clients send, and a profile for rows that name none."""

    file = FileText(trim_whitespace=False, help_text="The text of the CSV file.")
    mapping = MappingSerializer()
    profile = serializers.SlugRelatedField("name", queryset=DeviceProfile.objects.all(), required=False, allow_null=True)


class BulkImportResultSerializer(serializers.Serializer[dict[str, Any]]):
    created = serializers.IntegerField()
    updated = serializers.IntegerField(help_text="Updated or unchanged.")
    errors = serializers.IntegerField()  # type: ignore[assignment]
    errorsList = serializers.ListField(child=serializers.CharField(), help_text='E.g. "Line 3: name: The row has no name."')  # noqa: N815 - as on the wire


class UploadSerializer(serializers.Serializer[dict[str, Any]]):
    """A file and its format. What is not given is detected."""

    file = serializers.FileField(allow_empty_file=True)
    profile = serializers.SlugRelatedField("name", queryset=DeviceProfile.objects.all(), required=False)
    column = serializers.ListField(
        child=serializers.CharField(), required=False, default=list, help_text="HEADER=TYPE[:KEY]; may be repeated."
    )
    columns = serializers.CharField(
        required=False,
        help_text='All columns in their order, as JSON: [{"type": "NAME"}, {"type": "SERVER_ATTRIBUTE", "key": "fw"}].',
    )
    delimiter = serializers.CharField(required=False, default="", max_length=1, trim_whitespace=False)
    encoding = serializers.CharField(required=False, default="", max_length=16)
    header = serializers.BooleanField(default=True)
    update = serializers.BooleanField(default=False)  # type: ignore[assignment]
    dry_run = serializers.BooleanField(default=False)

    def validate_column(self, value: list[str]) -> dict[str, Column]:
        try:
            return dict(from_option(option) for option in value)
        except BadMapping as err:
            raise serializers.ValidationError(str(err)) from err

    def validate_columns(self, value: str) -> list[Column]:
        try:
            listed = ColumnSerializer(data=json.loads(value), many=True)
        except ValueError as err:
            raise serializers.ValidationError("This is not JSON.") from err
        listed.is_valid(raise_exception=True)
        return _checked([column(entry["type"], entry.get("key") or "") for entry in listed.validated_data])


class JobSerializer(serializers.ModelSerializer[ImportJob]):
    url = serializers.HyperlinkedIdentityField("import-detail")
    profile: Any = serializers.SlugRelatedField("name", read_only=True)
    created_by: Any = serializers.SlugRelatedField("username", read_only=True)
    rows = serializers.IntegerField(read_only=True)
    percent = serializers.IntegerField(read_only=True)
    seconds_left = serializers.IntegerField(read_only=True, allow_null=True)

    class Meta:
        model = ImportJob
        fields = (
            *("id", "url", "state", "problem", "rows", "percent", "seconds_left"),
            *("created", "updated", "unchanged", "errors", "undone"),
            *("file_name", "size_bytes", "profile", "update", "dry_run", "source"),
            *("created_by", "created_at", "started_at", "finished_at"),
        )
        read_only_fields = fields


def _checked(columns: list[Column]) -> list[Column]:
    try:
        return checked(columns)
    except BadMapping as err:
        raise serializers.ValidationError(str(err)) from err
