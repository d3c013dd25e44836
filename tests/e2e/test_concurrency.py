"""Several processes at once, for the same name, device, token and key: exactly one succeeds."""

import os
import random
import sqlite3
from collections import Counter

import pytest

from tests.support.postgres import own_postgres
from tests.support.racer import PROCESSES, race
from tests.support.web import create_profile, manage

EACH = 16
ALL = PROCESSES * EACH
LIMIT = 10


class Outcome:
    """The result of a race: the answers by case, and the rows."""

    def __init__(self, query):
        self.query = query
        self.answers = {}

    def statuses(self, case):
        return Counter(answer["status"] for answer in self.answers[case])

    def devices(self, where):
        return int(self.query(f"SELECT count(*) FROM devices_device WHERE {where}"))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def database(request, tmp_path_factory):
    """The URL of an empty database of its own, and a function that returns the one value of a query."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("race") / "race.sqlite3"
        yield f"sqlite:///{path}", lambda sql: str(sqlite3.connect(path).execute(sql).fetchone()[0])
        return
    with own_postgres() as server:
        yield server.url("firstlight"), lambda sql: server.psql("firstlight", sql)


@pytest.fixture(scope="module")
def outcome(database):
    """Five races in one: every process sends its share of each, in an order of its own."""
    url, query = database
    environment = os.environ | {"DATABASE_URL": url}
    manage(environment, "migrate", "--verbosity", "0")
    create = create_profile(environment, "create")
    check = create_profile(environment, "check", "CHECK_PRE_PROVISIONED_DEVICES")
    limited = create_profile(environment, "limited")
    manage(
        environment,
        "shell",
        "-c",
        "from devices.services import device_create; from profiles.models import *;"
        "device_create(name='pre-provisioned', profile=DeviceProfile.objects.get(name='check'));"
        f"ProvisioningKey.objects.filter(profile__name='limited').update(use_limit={LIMIT})",
    )
    cases = {
        "name": lambda number: pair(create) | {"deviceName": "one-name"},
        "claim": lambda number: pair(check) | {"deviceName": "pre-provisioned"},
        "token": lambda number: pair(create) | {"deviceName": f"token-{number}", "token": "one-and-the-same-token"},
        "limit": lambda number: pair(limited) | {"deviceName": f"limited-{number}"},
        "repeat": lambda number: pair(create) | {"deviceName": "repeated", "idempotencyKey": "idempotency-key-1"},
        "nameless": lambda number: pair(create) | {"idempotencyKey": "idempotency-key-2"},
    }
    shares = [
        [(case, make(process * EACH + index)) for case, make in cases.items() for index in range(EACH)]
        for process in range(PROCESSES)
    ]
    for share in shares:
        random.Random(7 + shares.index(share)).shuffle(share)
    result = Outcome(query)
    answers = iter(race(environment, [[fields for _, fields in share] for share in shares]))
    for share in shares:
        for case, _ in share:
            result.answers.setdefault(case, []).append(next(answers))
    return result


def pair(profile):
    return {"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"]}


def test_one_of_64_requests_for_one_name_succeeds(outcome):
    assert outcome.statuses("name") == {"SUCCESS": 1, "FAILURE": ALL - 1}
    assert outcome.devices("name = 'one-name' AND provisioned_at IS NOT NULL") == 1


def test_one_of_64_requests_for_one_pre_provisioned_device_succeeds(outcome):
    assert outcome.statuses("claim") == {"SUCCESS": 1, "FAILURE": ALL - 1}
    assert outcome.devices("name = 'pre-provisioned' AND provisioned_at IS NOT NULL") == 1


def test_one_of_64_devices_gets_the_token_that_all_bring(outcome):
    assert outcome.statuses("token") == {"SUCCESS": 1, "FAILURE": ALL - 1}
    assert outcome.devices("name LIKE 'token-%'") == 1


def test_key_lets_in_as_many_as_its_limit(outcome):
    assert outcome.statuses("limit") == {"SUCCESS": LIMIT, "NOT_FOUND": ALL - LIMIT}
    assert outcome.devices("name LIKE 'limited-%'") == LIMIT
    assert outcome.query("SELECT uses FROM profiles_provisioningkey WHERE use_limit IS NOT NULL") == str(LIMIT)


@pytest.mark.parametrize("case", ["repeat", "nameless"])
def test_one_request_sent_64_times_gets_one_answer(outcome, case):
    assert outcome.statuses(case) == {"SUCCESS": ALL}
    assert len({answer["deviceId"] + answer["credentialsValue"] for answer in outcome.answers[case]}) == 1


def test_rows_are_consistent(outcome):
    devices = 5 + LIMIT
    assert outcome.devices("provisioned_at IS NOT NULL") == devices
    assert outcome.query("SELECT count(*) FROM devices_devicecredentials") == str(devices)
    assert outcome.query("SELECT count(*) FROM devices_deviceattribute WHERE key = 'provisionState'") == str(devices)
    assert outcome.query("SELECT count(*) FROM provisioning_provisionattempt") == str(6 * ALL)
    assert outcome.query("SELECT count(*) FROM provisioning_provisionattempt WHERE reason IN ('CREATED', 'CLAIMED')") == str(
        devices
    )
