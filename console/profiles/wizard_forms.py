"""The forms of the profile wizard, with an explanation of each choice."""

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from core.json_values import no_constant
from core.random_text import random_alphanumeric
from profiles.choices import AttributeScope, SecretUse, Strategy
from profiles.models import DeviceProfile, ProvisioningKey, validate_default_attributes
from profiles.services import secret_problem
from profiles.topic_patterns import topic_pattern_problem

STRATEGY_MEANINGS = {
    Strategy.DISABLED: "No device can provision. Choose it to prepare a profile, or to stop provisioning for a while.",
    Strategy.ALLOW_CREATE: "Every device that presents the key and secret is created, with the name it sends or a generated one. "
    "Choose it if you have no list of devices.",
    Strategy.CHECK_PRE_PROVISIONED: "Only devices that you listed before can provision, each once. "
    "Choose it if you know the device names, so that a stranger with the key gets nothing.",
}

SECRET_USE_MEANINGS = {
    SecretUse.SHARED: "Shared by all devices. Simple, but anyone who reads the firmware of one device can register any name.",
    SecretUse.DERIVED: "Each device presents base64(HMAC-SHA256(secret, device name)), which your factory writes into it. "
    "A stolen device gives away its own name only; manage.py derive_secrets lists the secrets.",
}

OWN_TOPICS_LABEL = "Own MQTT topics"
OWN_TOPICS_HELP = (
    "Topics on your own MQTT broker that each device may use besides the device API, e.g. plant/{device_name}/#. "
    "{device_id}, {device_name}, {client_id} and {profile} are replaced by values of the device; leave blank to allow none."
)


class StepForm(forms.Form):
    """Marks fields with an error for screen readers, and connects help text and error to them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.use_required_attribute = False


class ScopedValue(forms.Field):
    """A value typed by an operator: JSON if it is valid JSON (21.5, true, {"a": 1}), else text."""

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
            self.add_error("key", "The value needs a key. Leave both blank for no attribute.")
        if cleaned.get("key") and cleaned.get("value") is None:
            self.add_error("value", "The key needs a value.")
        return cleaned


AttributeFormSet = forms.formset_factory(AttributeForm, extra=1, max_num=100, validate_max=True)


class DetailsForm(StepForm):
    name = forms.CharField(
        max_length=255,
        error_messages={"required": "A profile needs a name."},
        help_text="Name of the device model or batch, e.g. DHT11 sensor, 2026.",
    )
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text="For your colleagues.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The rows of attributes are on the same page, and so in the same form data, as the fields of the step.
        self.attributes = AttributeFormSet(self.data or None, prefix="attributes")

    def is_valid(self) -> bool:
        return bool(super().is_valid()) and self.attributes.is_valid()

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if DeviceProfile.objects.filter(name=name).exists():
            raise ValidationError("A profile with this name already exists.")
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
        required=False, initial=True, label="Devices may choose an access token",
        help_text="Off: a device that sends its own token is refused. A device that sends none gets a generated one.",
    )  # fmt: skip
    allow_mqtt_basic = forms.BooleanField(
        required=False, initial=True, label="Devices may choose MQTT client id, user name and password",
        help_text="Off: a device that sends its own MQTT credentials is refused.",
    )  # fmt: skip
    allow_x509 = forms.BooleanField(
        required=False, initial=True, label="Devices may supply an X.509 certificate",
        help_text="Off: a device that sends a certificate is refused.",
    )  # fmt: skip
    allow_own_credentials = forms.BooleanField(
        required=False, label="Pre-provisioned devices may supply their own credentials",
        help_text="On: credentials that the device sends replace the stored ones. Off: the device gets the stored ones.",
    )  # fmt: skip
    allow_gateways = forms.BooleanField(
        required=False, initial=True, label="Devices may be gateways",
        help_text="Off: a device that requests to be a gateway is refused.",
    )  # fmt: skip
    allow_gateway_children = forms.BooleanField(
        required=False, initial=True, label="Gateways may create devices",
        help_text="Off: a gateway reports only for devices that you created and attached to it.",
    )  # fmt: skip
    name_pattern = forms.CharField(
        required=False, max_length=255,
        help_text="Allowed device names, with * and ? as wildcards, e.g. DHT11-*. Leave blank to allow any name.",
    )  # fmt: skip
    topic_pattern = forms.CharField(
        required=False, max_length=255, label=OWN_TOPICS_LABEL, help_text=OWN_TOPICS_HELP,
    )  # fmt: skip
    min_token_length = forms.IntegerField(
        min_value=1, max_value=255, initial=8, label="Minimum token length",
        help_text="In characters. A device that sends a shorter token is refused: short tokens can be guessed.",
    )  # fmt: skip
    retry_window_s = forms.IntegerField(
        min_value=0, max_value=2_147_483_647, initial=0, label="Retry window",
        help_text="Seconds during which the same request gets the same reply again, until the credentials are first used. "
        "For devices that may lose a reply and send no idempotency key. 0 = a repeated request is refused. "
        "An idempotency key must be random: whoever guesses it gets the credentials.",
    )  # fmt: skip

    def clean_topic_pattern(self) -> str:
        pattern: str = self.cleaned_data["topic_pattern"]
        if problem := topic_pattern_problem(pattern):
            raise ValidationError(problem)
        return pattern


class ProvisioningForm(StepForm):
    strategy = forms.ChoiceField(
        choices=Strategy.choices, initial=Strategy.ALLOW_CREATE, widget=forms.RadioSelect, label="Provision strategy"
    )
    key = forms.CharField(
        max_length=255, strip=False, label="Provision device key",
        help_text="Sent by devices, 16 characters or more. Generated; change it if your firmware contains another one.",

    )  # fmt: skip
    secret = forms.CharField(
        max_length=255, strip=False, label="Provision device secret",
        help_text="Sent together with the key, or what the devices' secrets are made from. 16 characters or more. "
        "Stored encrypted.",
    )  # fmt: skip
    secret_use = forms.ChoiceField(
        required=False, choices=SecretUse.choices, initial=SecretUse.SHARED, widget=forms.RadioSelect, label="Use of the secret"
    )

    def clean_key(self) -> str:
        key = self._checked("key")
        if ProvisioningKey.objects.filter(key=key).exists():
            raise ValidationError("This key already exists. Regenerate it.")
        return key

    def clean_secret(self) -> str:
        return self._checked("secret")

    def clean_secret_use(self) -> str:
        return self.cleaned_data["secret_use"] or SecretUse.SHARED

    def _checked(self, name: str) -> str:
        value: str = self.cleaned_data[name]
        if problem := secret_problem(value):
            raise ValidationError(problem)
        return value

    @property
    def choices(self) -> list[tuple[str, str, str]]:
        """Return each strategy with its name and description."""
        return [(strategy.value, strategy.label, STRATEGY_MEANINGS[strategy]) for strategy in Strategy]

    @property
    def secret_uses(self) -> list[tuple[str, str, str]]:
        """Return each use of the secret with its name and description."""
        return [(use.value, use.label.partition(":")[0], SECRET_USE_MEANINGS[use]) for use in SecretUse]


def generated_values() -> dict[str, str]:
    """Return a new key and secret."""
    return {"key": random_alphanumeric(), "secret": random_alphanumeric()}
