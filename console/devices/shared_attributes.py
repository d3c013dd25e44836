"""Setting and deleting shared attributes on the page of a device, which the device receives while it is connected."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from console.profiles.wizard_forms import ScopedValue
from core.json_values import json_problem
from core.text import MAX_TEXT_LENGTH, has_control_characters
from devices.errors import QuotaExceeded
from devices.models import Device
from devices.services import shared_attributes_delete, shared_attributes_set


class SharedAttributeForm(forms.Form):
    """One attribute: set with a value, deleted with the Delete button."""

    key = forms.CharField(max_length=MAX_TEXT_LENGTH)
    value = ScopedValue(required=False)

    def clean_key(self) -> str:
        key: str = self.cleaned_data["key"]
        if has_control_characters(key):
            raise ValidationError("The key has control characters.")
        return key

    def clean_value(self) -> Any:
        value = self.cleaned_data["value"]
        if value is not None and (problem := json_problem(value)):
            raise ValidationError(problem)
        if value is None and "delete" not in self.data:
            raise ValidationError("A value is needed.")
        return value

    def apply(self, device: Device) -> str:
        """Set or delete the attribute, and return a sentence on it. Raises ValidationError."""
        key = self.cleaned_data["key"]
        if "delete" in self.data:
            shared_attributes_delete(device=device, keys=[key])
            return f"Shared attribute {key} deleted."
        try:
            shared_attributes_set(device=device, values={key: self.cleaned_data["value"]})
        except QuotaExceeded as err:
            raise ValidationError(str(err)) from err
        return f"Shared attribute {key} set."
