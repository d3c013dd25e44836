"""Each request of a batch gets the outcome it would get if processed alone, in order: statuses, reasons and rows."""

import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.credentials import AccessToken, MqttBasic, X509Certificate
from devices.models import Device, DeviceCredentials
from devices.services import device_create
from profiles.device_secrets import device_secret
from profiles.models import ProvisioningKey
from profiles.services import key_create, key_revoke, profile_create
from provisioning.choices import Reason, Transport
from provisioning.messages import Origin, ProvisionRequest
from provisioning.models import ProvisionAttempt, RejectedRequest
from provisioning.services import provision_batch
from tests.support.provisioning import certificate, certificate_text, empty_database

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "the-same-secret-everywhere"
KEYS = [
    f"{kind}-provisioning-key"
    for kind in ("create", "create-window", "create-limited", "check-own", "check-strict", "revoked", "create-derived")
]
TOKENS = [f"token-number-{number}" for number in range(5)]
NAMES = ["taken", "own-0", "own-1", "own-2", "own-blocked", "own-bare", "strict-0", "new-0", "new-1", "new-2"]
CREDENTIALS = [
    *(AccessToken(token) for token in TOKENS),
    MqttBasic("", TOKENS[0], "password"),
    MqttBasic("client", "user", "password"),
    MqttBasic("client", "user", "another password"),
    X509Certificate(certificate("one")[0]),
    X509Certificate(certificate_text("one")),
    X509Certificate("bad certificate"),
    AccessToken("short"),
]
KNOWN_VALUES = {*TOKENS, certificate_text("one")}


def presented(request):
    """Return `request` with the secret that its device derives; one device sends the key's own."""
    if request.key != KEYS[6] or request.secret != SECRET or request.device_name == "new-2":
        return request
    return replace(request, secret=device_secret(SECRET, request.device_name or ""))


requests = st.builds(
    ProvisionRequest,
    origin=st.just(Origin(Transport.HTTP, "192.0.2.1")),
    key=st.sampled_from([*KEYS, *KEYS, "unknown-provisioning-key"]),
    secret=st.sampled_from([SECRET] * 9 + ["wrong"]),
    device_name=st.sampled_from([*NAMES, *NAMES, None, " "]),
    credentials=st.one_of(st.none(), st.sampled_from(CREDENTIALS)),
    lwm2m=st.sampled_from([False] * 15 + [True]),
    gateway=st.booleans(),
    idempotency_key=st.sampled_from([None, None, "idempotency-key-1", "idempotency-key-2"]),
).map(presented)


def make_world():
    """Fill an empty database: profiles of all kinds, devices of all kinds."""
    empty_database()
    create, _ = profile_create(
        name="create", strategy="ALLOW_CREATE_NEW_DEVICES", key=KEYS[0], secret=SECRET, default_attributes=[
            {"key": "model", "value": "DHT11", "scope": "SHARED_SCOPE"}
        ],
    )  # fmt: skip
    profile_create(name="window", strategy="ALLOW_CREATE_NEW_DEVICES", key=KEYS[1], secret=SECRET, retry_window_s=3600)
    key_create(profile=create, key=KEYS[2], secret=SECRET, use_limit=2)
    own, _ = profile_create(
        name="own", strategy="CHECK_PRE_PROVISIONED_DEVICES", key=KEYS[3], secret=SECRET, allow_own_credentials=True
    )
    strict, _ = profile_create(
        name="strict", strategy="CHECK_PRE_PROVISIONED_DEVICES", key=KEYS[4], secret=SECRET, allow_gateways=False
    )
    key_revoke(key=key_create(profile=create, key=KEYS[5], secret=SECRET))
    key_create(profile=create, key=KEYS[6], secret=SECRET, secret_use="DERIVED")
    device_create(name="taken", profile=create, credentials=AccessToken(TOKENS[0]))
    for name, token in (("own-0", TOKENS[1]), ("own-1", TOKENS[2]), ("own-2", "stored-token-2")):
        device_create(name=name, profile=own, credentials=AccessToken(token))
    device_create(name="own-blocked", profile=own, blocked=True)
    DeviceCredentials.objects.filter(device=device_create(name="own-bare", profile=own)).delete()
    device_create(name="strict-0", profile=strict)


def comparable(credentials):
    """Return `credentials` with a generated or stored token masked: they differ from world to world."""
    if credentials is None or (isinstance(credentials, AccessToken) and credentials.token not in KNOWN_VALUES):
        return credentials and "some token"
    return credentials


def result_of(batches):
    """Run `batches` in a fresh world, and return all outcomes and rows, free of what is random."""
    make_world()
    outcomes = [outcome for batch in batches for outcome in provision_batch(batch)]
    labels = {}
    for index, outcome in enumerate(outcomes):
        if outcome.device_id:
            generated = f"named by request {index}"
            name = outcome.device_name if outcome.device_name in NAMES else generated
            labels.setdefault(str(outcome.device_id), (outcome.device_name, name))
    for device in Device.objects.all():
        labels.setdefault(str(device.pk), (device.name, device.name))
    names = dict(labels.values())

    def label(device_id):
        return device_id and labels[str(device_id)][1]

    def masked(detail):
        return re.sub(r"[0-9a-f-]{36}", lambda found: label(found.group()), detail)

    return {
        "outcomes": [
            (one.status, one.reason, masked(one.detail), label(one.device_id), comparable(one.credentials)) for one in outcomes
        ],
        # Who shares credentials with whom, generated ones included.
        "same answers": [
            [i for i, other in enumerate(outcomes) if one.credentials and other.credentials == one.credentials]
            for one in outcomes
        ],
        "devices": {
            label(device.pk): (
                device.profile.name,
                device.gateway,
                device.blocked,
                device.provisioned_at is not None,
                device.provisioned_with and device.provisioned_with.key,
                bool(device.retry_id),
                comparable(device.credentials.unpacked()) if hasattr(device, "credentials") else None,
                sorted(device.attributes.values_list("scope", "key", "value")),
            )
            for device in Device.objects.select_related("profile", "provisioned_with", "credentials")
        },
        "attempts": sorted(
            (row.request_id, row.reason, row.outcome, masked(row.detail), names.get(row.device_name, row.device_name),
             label(row.device_id) or "", row.key.key)
            for row in ProvisionAttempt.objects.select_related("key")
        ),
        "uses": dict(ProvisioningKey.objects.values_list("key", "uses").order_by()),
        "guesses": sorted(RejectedRequest.objects.values_list("reason", "count").order_by()),
    }  # fmt: skip


def numbered(batch):
    return [replace(one, origin=Origin(Transport.HTTP, "192.0.2.1", f"{index:03}")) for index, one in enumerate(batch)]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(batch=st.lists(requests, min_size=2, max_size=64))
def test_requests_of_a_batch_get_the_outcomes_they_get_alone(batch, settings):
    settings.GUESSES_PER_SOURCE = settings.GUESSES_PER_KEY = 1000
    batch = numbered(batch)

    assert result_of([batch]) == result_of([[one] for one in batch])


def test_swapped_credentials_come_to_what_they_come_to_alone():
    """Each device takes what the one before gave up: written by one statement, that breaks the unique constraint on the way."""
    origin = Origin(Transport.HTTP, "192.0.2.1")

    def take(name, token, key=KEYS[3]):
        return ProvisionRequest(origin, key, SECRET, name, AccessToken(token))

    batch = numbered(
        [
            take("own-0", "fresh-token-0"),
            take("own-1", TOKENS[1]),
            take("own-2", TOKENS[2]),
            take("new-0", "stored-token-2", KEYS[0]),
        ]
    )

    together = result_of([batch])

    assert together == result_of([[one] for one in batch])
    assert {reason for _, reason, *_ in together["outcomes"]} == {Reason.CLAIMED, Reason.CREATED}


def test_requests_of_a_mixed_batch_of_64_get_the_outcomes_they_get_alone():
    """The issue's own example: duplicates, taken tokens, bad certificates and good requests."""
    good = [ProvisionRequest(Origin(Transport.HTTP), KEYS[0], SECRET, f"good-{index}") for index in range(20)]
    taken = [replace(one, device_name=f"t-{index}", credentials=AccessToken(TOKENS[0])) for index, one in enumerate(good[:10])]
    bad = [replace(one, device_name=f"x-{index}", credentials=CREDENTIALS[-2]) for index, one in enumerate(good[:10])]
    own = [replace(good[0], key=KEYS[3], device_name="own-0") for _ in range(4)]
    batch = numbered([*good, *taken, *good, *bad, *own])

    together = result_of([batch])

    assert len(batch) == 64
    assert together == result_of([[one] for one in batch])
    reasons = [reason for _, reason, *_ in together["outcomes"]]
    assert reasons.count(Reason.CREATED) == 20
    assert reasons.count(Reason.NAME_TAKEN) == 20
    assert reasons.count(Reason.CREDENTIALS_TAKEN) == reasons.count(Reason.CREDENTIALS_UNUSABLE) == 10
    assert (reasons.count(Reason.CLAIMED), reasons.count(Reason.ALREADY_PROVISIONED)) == (1, 3)
