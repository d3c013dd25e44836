"""The three steps of the profile wizard: what is asked, and what each answer means."""

import json
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError

from core.json_values import no_constant
from core.random_text import random_alphanumeric
from profiles.choices import AttributeScope, Strategy
from profiles.models import DeviceProfile, ProvisioningKey, validate_default_attributes
from profiles.services import secret_problem

STRATEGY_MEANINGS = {
    Strategy.DISABLED: "No device can provision. Choose it to prepare a profile, or to stop provisioning for a while.",
    Strategy.ALLOW_CREATE: "Every device that shows the key and secret is created under the name it sends, or a generated one. "
    "Choose it when devices are made faster than lists of them.",
    Strategy.CHECK_PRE_PROVISIONED: "Only devices that you named before can provision, each once. "
    "Choose it when you know the serial numbers, and a stranger with the key must get nothing.",
}


class StepForm(forms.Form):
    """Marks each field that has an error for screen readers, and ties help and error to it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.use_required_attribute = False


class ScopedValue(forms.Field):
    """A value as an operator types it: JSON where it is JSON (21.5, true, {"a": 1}), text otherwise."""

    widget = forms.TextInput

    def to_python(self, value: Any) -> Any:
        text = str(value or "").strip()
        if not text:
            return None
        try:
            return json.loads(text, parse_constant=no_constant)
        except ValueError:
            return text


class AttributeForm(forms.Form):
    key = forms.CharField(max_length=255, required=False)
    value = ScopedValue(required=False)
    scope = forms.ChoiceField(
        choices=[(scope.value, scope.value.removesuffix("_SCOPE").capitalize()) for scope in AttributeScope],
        initial=AttributeScope.SERVER,
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("value") is not None and not cleaned.get("key"):
            self.add_error("key", "The value needs a key. Leave both empty to have no attribute here.")
        if cleaned.get("key") and cleaned.get("value") is None:
            self.add_error("value", "The key needs a value.")
        return cleaned


AttributeFormSet = forms.formset_factory(AttributeForm, extra=1, max_num=100, validate_max=True)


class DetailsForm(StepForm):
    name = forms.CharField(
        max_length=255,
        error_messages={"required": "A profile needs a name."},
        help_text="Of the device model or batch, e.g. DHT11 sensor, 2026.",
    )
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text="For your colleagues.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Rows of attributes stand in the same page, and so in the same data, as the step's own fields.
        self.attributes = AttributeFormSet(self.data or None, prefix="attributes")

    def is_valid(self) -> bool:
        return bool(super().is_valid()) and self.attributes.is_valid()

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if DeviceProfile.objects.filter(name=name).exists():
            raise ValidationError("A profile of this name exists already.")
        return name

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.attributes.is_valid():
            rows = [row for row in self.attributes.cleaned_data if row.get("key")]
            cleaned["default_attributes"] = [{name: row[name] for name in ("key", "value", "scope")} for row in rows]
            try:
                validate_default_attributes(cleaned["default_attributes"])
            except ValidationError as err:
                self.add_error(None, err.messages[0])
        return cleaned


class PermissionsForm(StepForm):
    allow_access_token = forms.BooleanField(
        required=False, initial=True, label="Devices may bring an access token",
        help_text="Off: a device that sends a token of its own is refused; it gets a generated one if it sends none.",
    )  # fmt: skip
    allow_mqtt_basic = forms.BooleanField(
        required=False, initial=True, label="Devices may bring MQTT client id, user name and password",
        help_text="Off: a device that sends MQTT credentials of its own is refused.",
    )  # fmt: skip
    allow_x509 = forms.BooleanField(
        required=False, initial=True, label="Devices may bring an X.509 certificate",
        help_text="Off: a device that sends a certificate is refused.",
    )  # fmt: skip
    allow_own_credentials = forms.BooleanField(
        required=False, label="Pre-provisioned devices may bring their own credentials",
        help_text="On: what the device sends replaces what you stored for it. Off: it gets what you stored, whatever it sends.",
    )  # fmt: skip
    allow_gateways = forms.BooleanField(
        required=False, initial=True, label="Devices may be gateways",
        help_text="Off: a device that declares itself a gateway is refused.",
    )  # fmt: skip
    name_pattern = forms.CharField(
        required=False, max_length=255,
        help_text="Names that devices may choose, with * and ? as wildcards, e.g. DHT11-*. Others are refused. Empty: any name.",
    )  # fmt: skip
    min_token_length = forms.IntegerField(
        min_value=1, max_value=255, initial=8, label="Minimum token length",
        help_text="Characters. A device with a shorter token of its own is refused: short tokens can be guessed.",
    )  # fmt: skip
    retry_window_s = forms.IntegerField(
        min_value=0, max_value=2_147_483_647, initial=0, label="Retry window",
        help_text="Seconds in which the very same request gets the very same answer again, until the credentials are first used: "
        "for devices that may lose a reply and have no idempotency key. 0: a repeated request is refused.",
    )  # fmt: skip


class ProvisioningForm(StepForm):
    strategy = forms.ChoiceField(
        choices=Strategy.choices, initial=Strategy.ALLOW_CREATE, widget=forms.RadioSelect, label="Provision strategy"
    )
    key = forms.CharField(
        max_length=255, strip=False, label="Provision device key",
        help_text="What devices show, 16 characters or more. Generated; change it if firmware has one already.",

    )  # fmt: skip
    secret = forms.CharField(
        max_length=255, strip=False, label="Provision device secret",
        help_text="What proves that they may, 16 characters or more. It is stored encrypted.",

    )  # fmt: skip

    meanings: ClassVar = STRATEGY_MEANINGS

    def clean_key(self) -> str:
        key = self._checked("key")
        if ProvisioningKey.objects.filter(key=key).exists():
            raise ValidationError("This key is in use already. Regenerate it.")
        return key

    def clean_secret(self) -> str:
        return self._checked("secret")

    def _checked(self, name: str) -> str:
        value: str = self.cleaned_data[name]
        if problem := secret_problem(value):
            raise ValidationError(problem)
        return value

    @property
    def choices(self) -> list[tuple[str, str, str]]:
        """Return each strategy with its name and its meaning."""
        return [(strategy.value, strategy.label, STRATEGY_MEANINGS[strategy]) for strategy in Strategy]


def generated_values() -> dict[str, str]:
    """Return a new key and secret."""
    return {"key": random_alphanumeric(), "secret": random_alphanumeric()}
