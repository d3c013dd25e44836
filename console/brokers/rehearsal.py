"""Four devices played against a broker: an admitted, a denied, an eavesdropping and a revoked one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from brokers import checks, ending
from brokers.models import Broker
from brokers.mqtt_client import PlayedDevice
from core.random_text import random_alphanumeric
from devices.bulk_services import devices_block, devices_delete
from devices.credentials import generated_token
from devices.models import Device
from devices.services import device_create
from profiles.choices import Strategy
from profiles.models import DeviceProfile
from profiles.services import profile_create, profile_delete

# A replica learns of a new device by its next poll, and a session ends by the next run of the kicks.
PATIENCE_S = 10.0
TELEMETRY = "v1/devices/me/telemetry"
EAVESDROPPED = ("#", TELEMETRY, "v1/devices/me/#", "/provision/response", "/provision/response/+", "devices/#")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one played device saw, in a sentence, and whether it is as it should be."""

    device: str
    text: str
    passed: bool


@dataclass(frozen=True, slots=True)
class _Made:
    device: Device
    token: str


def rehearse(broker: Broker) -> list[Finding]:
    """Return what each of the four devices saw. It takes up to half a minute, and leaves nothing behind."""
    with _devices() as (one, other):
        try:
            return list(_play(broker, one, other))
        except (OSError, ValueError) as err:
            return [Finding("All", f"{broker.mqtt_url} cannot be reached: {type(err).__name__}.", passed=False)]


def _play(broker: Broker, one: _Made, other: _Made) -> Iterator[Finding]:
    with _admitted(broker, one) as admitted:
        yes = bool(admitted.accepted) and admitted.publish(TELEMETRY, b'{"rehearsal":0}')
        text = "connected with its token, and its telemetry was acknowledged." if yes else "was not let in, or not heard."
        yield Finding("Admitted", f"A provisioned device {text}", passed=yes)
        with PlayedDevice(broker, client_id=f"denied-{random_alphanumeric()}", username=random_alphanumeric()) as denied:
            checks.note(broker, admits_anyone=bool(denied.accepted))
            text = "was let in: the broker does not ask." if denied.accepted else "was refused."
            yield Finding("Denied", f"A device with a made-up token {text}", passed=not denied.accepted)
        if not yes:
            return
        yield _eavesdrop(broker, admitted, other)
        yield _revoke(broker, admitted, one)


def _eavesdrop(broker: Broker, admitted: PlayedDevice, other: _Made) -> Finding:
    secret = random_alphanumeric().encode()
    heard = []
    for topic in EAVESDROPPED:
        # One connection for each: some brokers hang up on a subscription that they refuse.
        with _admitted(broker, other) as eavesdropper:
            eavesdropper.subscribe(topic)
            admitted.publish(TELEMETRY, b'{"rehearsal":"' + secret + b'"}')
            if eavesdropper.wait(lambda device=eavesdropper: any(secret in body for body in device.heard), 1.0):  # type: ignore[misc]
                heard.append(topic)
    text = f"heard it on {', '.join(heard)}." if heard else "heard nothing of it on any wildcard."
    return Finding("Eavesdropping", f"While the first device sent telemetry, another one {text}", passed=not heard)


def _revoke(broker: Broker, admitted: PlayedDevice, one: _Made) -> Finding:
    devices_block(devices=Device.objects.filter(pk=one.device.pk))
    # The log leads to the same within a second or two, unless no task worker runs.
    ending.plan_for({one.device.pk})
    ending.try_kicks()
    ended = admitted.wait(lambda: admitted.gone, PATIENCE_S)
    with PlayedDevice(broker, client_id=f"revoked-{random_alphanumeric()}", username=one.token) as back:
        out = not back.accepted
    text = f"its session {'ended' if ended else 'goes on'}, and it was {'not let in' if out else 'let in'} again."
    return Finding("Revoked", f"The first device was blocked: {text}", passed=ended and out)


def _admitted(broker: Broker, made: _Made) -> PlayedDevice:
    """Return a connection of a device that was just made; a broker with a replica learns of it a moment later."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        device = PlayedDevice(broker, client_id=f"test-{random_alphanumeric()}", username=made.token)
        if device.accepted or time.monotonic() > deadline:
            return device
        device.__exit__(None, None, None)
        time.sleep(0.5)  # a replica reads the log twice a second; another try earlier would only count as a wrong guess


@contextmanager
def _devices() -> Iterator[tuple[_Made, _Made]]:
    """Make two devices in a profile of their own, and delete all three."""
    name = f"Broker test {random_alphanumeric(8)}"
    profile, _ = profile_create(name=name, strategy=Strategy.DISABLED)
    try:
        yield _make(profile, f"{name}, first"), _make(profile, f"{name}, second")
    finally:
        devices_delete(devices=Device.objects.filter(profile=profile))
        profile_delete(profile=profile)


def _make(profile: DeviceProfile, name: str) -> _Made:
    token = generated_token()
    return _Made(device_create(name=name, profile=profile, credentials=token), token.token)
