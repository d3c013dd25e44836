"""Words that devices and credentials use, as on the wire (docs/protocol.md)."""

from django.db import models

# The server attribute that says `provisioned` (docs/protocol.md, *Strategies*).
PROVISION_STATE = "provisionState"
PROVISIONED = "provisioned"


class CredentialsType(models.TextChoices):
    ACCESS_TOKEN = "ACCESS_TOKEN", "Access token"
    MQTT_BASIC = "MQTT_BASIC", "MQTT client id, user name and password"
    X509_CERTIFICATE = "X509_CERTIFICATE", "X.509 certificate"
