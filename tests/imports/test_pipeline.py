"""The rules of an import, row by row, on the database."""

import io

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.authentication import PresentedToken, authenticate
from devices.credentials import AccessToken, MqttBasic
from devices.models import Device, DeviceAttribute, DeviceCredentials, LatestTelemetry
from devices.services import device_create
from imports import pipeline
from imports.choices import Verdict
from imports.columns import Column, ColumnType, mapped
from imports.csv.file_format import FileFormat
from imports.pipeline import ImportSpec, import_file
from profiles.choices import AttributeScope
from tests.support.imports import GUIDE_SAMPLE, certificate_pem, import_text, make_profile, refusals

pytestmark = pytest.mark.django_db(transaction=True)


def test_sample_of_the_guide_creates_eight_and_refuses_two():
    make_profile("testImport")

    decisions = import_text(GUIDE_SAMPLE, None, Data10=Column(ColumnType.ACCESS_TOKEN))

    assert refusals(decisions) == {
        10: "Data10: The credentials belong to device 'Device 8'.",
        11: "Data10: The credentials belong to device 'Device 8'.",
    }
    assert Device.objects.count() == DeviceCredentials.objects.count() == 8
    values = dict(Device.objects.get(name="Device 1").attributes.values_list("key", "value"))
    assert (values["Data1"], values["Data2"], values["Data3"], values["Data4"], values["Data5"]) == (
        123,
        "test",
        True,
        False,
        123.55,
    )
    assert not DeviceAttribute.objects.filter(device__name="Device 5", key="Data2").exists()
    assert authenticate(PresentedToken("AbfdgrRetGF52")).name == "Device 8"


def test_all_kinds_of_columns_are_stored():
    profile = make_profile(default_attributes=[{"key": "site", "value": "A", "scope": "SERVER_SCOPE"}])
    text = 'name,label,description,gateway,fw,volts,ignored\n X1 , Lab ,"two\nlines",YES,1.10,3.3,zzz\nX2,,,,,,\n'

    import_text(
        text,
        profile,
        fw=Column(ColumnType.SHARED_ATTRIBUTE, "firmware"),
        volts=Column(ColumnType.TIMESERIES, "V"),
        ignored=Column(ColumnType.IGNORE),
    )

    device = Device.objects.get(name="X1")
    assert (device.label, device.description, device.gateway, device.provisioned_at) == ("Lab", "two\nlines", True, None)
    assert set(device.attributes.values_list("scope", "key", "value")) == {
        (AttributeScope.SERVER, "site", "A"),
        (AttributeScope.SHARED, "firmware", 1.1),
    }
    assert LatestTelemetry.objects.get().value == 3.3
    assert not Device.objects.get(name="X2").gateway


def test_value_of_the_file_replaces_the_profiles_default():
    profile = make_profile(default_attributes=[{"key": "site", "value": "A", "scope": "SERVER_SCOPE"}])

    import_text("name,site\nX1,B\n", profile)

    assert DeviceAttribute.objects.get().value == "B"


def test_certificate_goes_before_mqtt_before_token_and_none_gives_a_token():
    pem = certificate_pem().replace("\n", "\n")
    text = (
        "name,token,client id,user name,password,certificate\n"
        f'cert,t1,c1,u1,p1,"{pem}"\n'
        "mqtt,t2,c2,u2, p2 ,\n"
        "token,t3,,,,\n"
        "none,,,,,\n"
    )

    import_text(text, make_profile())

    rows = {row.device.name: row for row in DeviceCredentials.objects.select_related("device")}
    assert {name: row.type for name, row in rows.items()} == {
        "cert": "X509_CERTIFICATE", "mqtt": "MQTT_BASIC", "token": "ACCESS_TOKEN", "none": "ACCESS_TOKEN",
    }  # fmt: skip
    assert rows["mqtt"].unpacked() == MqttBasic("c2", "u2", " p2 ")
    assert rows["token"].unpacked() == AccessToken("t3")
    assert len(rows["none"].value) == 20
    assert {name for name, row in rows.items() if row.generated} == {"none"}


def test_each_bad_row_is_reported_and_the_good_ones_go_in():
    profile = make_profile()
    device_create(name="old", profile=profile, credentials=AccessToken("old-token"))
    text = (
        "name,token,type,certificate,user name,note,gateway\n"  # 1
        "good,,,,,,\n"  # 2
        ",t,,,,,\n"  # 3
        "good,,,,,,\n"  # 4
        "old,,,,,,\n"  # 5
        "a,old-token,,,,,\n"  # 6
        "b,,nobody,,,,\n"  # 7
        "c,,,MIIB,,,\n"  # 8
        "d,,,,,,,\n"  # 9
        "e,,,,,\n"  # 10
        "f\x07,,,,,,\n" + "g" * 256 + ",,,,,,\n"  # 11  # 12
        f"h,,,,,{'n' * 20_000},\n"  # 13
        "i,provision,,,,,\n"  # 14
        "j,,,,,,perhaps\n"  # 15
        "k,t\x00,,,,,\n"  # 16
        "last,,,,,\ttabs are fine in a\tnote,\n"  # 17
    )

    decisions = import_text(text, profile)

    assert refusals(decisions) == {
        3: "name: The row has no name.",
        4: "name: The name is already on line 2.",
        5: "name: A device with this name already exists.",
        6: "token: The credentials belong to device 'old'.",
        7: "type: There is no profile 'nobody'.",
        8: "certificate: The certificate is neither PEM nor base64 of a certificate.",
        9: "The row has too many fields: 8 instead of 7.",
        10: "The row has too few fields: 6 instead of 7.",
        11: "name: The value contains a control character.",
        12: "name: The value has 256 characters; the limit is 255.",
        13: "note: The value has 20000 characters; the limit is 16384.",
        14: "token: The token is 'provision', which is reserved for provisioning.",
        15: "gateway: Use true or false, yes or no, 1 or 0, or these words in another language.",
        16: "token: The value contains a control character.",
    }
    assert set(Device.objects.values_list("name", flat=True)) == {"old", "good", "last"}
    assert "old-token" not in repr(decisions[4].refusal)


def test_booleans_of_people_and_spreadsheets_in_the_common_languages_are_read():
    yes = ("true", "Yes", "1", "x", "on", "ja", "WAHR", "oui", "VRAI", "Sí", "VERDADERO", "да", "はい")
    no = ("FALSE", "no", "0", "off", "Nein", "FALSCH", "non", "FAUX", "falso", "não", "нет", "HAYIR", "いいえ")
    rows = "".join(f"{word} is {number},{word}\n" for number, word in enumerate((*yes, *no)))

    decisions = import_text(f"name,gateway\n{rows}", make_profile())

    assert refusals(decisions) == {}
    found = Device.objects.order_by("pk").values_list("name", "gateway")
    assert dict(found) == {f"{word} is {number}": number < len(yes) for number, word in enumerate((*yes, *no))}


def test_row_without_profile_in_file_and_import_is_refused():
    assert refusals(import_text("name\nX1\n", None)) == {2: "The row names no profile, and the import has none."}


def test_name_repeated_in_a_later_chunk_names_the_first_line(monkeypatch):
    monkeypatch.setattr(pipeline, "CHUNK_ROWS", 2)

    decisions = import_text("name\na\nb\nc\na\n", make_profile(), update=True)

    assert refusals(decisions) == {5: "name: The name is already on line 2."}


def test_existing_device_is_untouched_without_update():
    profile = make_profile()
    device_create(name="X1", profile=profile, label="before", credentials=AccessToken("before-token"))

    decisions = import_text("name,label,token,fw\nX1,after,after-token,2\n", profile)

    device = Device.objects.get()
    assert [one.verdict for one in decisions] == [Verdict.REFUSED]
    assert (device.label, device.credentials.value, device.attributes.count()) == ("before", "before-token", 0)


def test_update_changes_what_is_given_and_keeps_the_rest():
    profile = make_profile()
    other = make_profile("other")
    device = device_create(
        name="X1", profile=profile, label="before", description="kept", credentials=AccessToken("before-token")
    )
    Device.objects.filter(pk=device.pk).update(provisioned_at=device.created_at, first_used_at=device.created_at)
    DeviceAttribute.objects.create(device=device, scope="SERVER_SCOPE", key="fw", value=1)
    device_create(name="X2", profile=profile, label="same", credentials=AccessToken("same-token"))
    device_create(name="X3", profile=other)

    decisions = import_text(
        "name,label,description,token,fw\nX1,after,,after-token,2\nX2,same,,same-token,\nX3,x,,,\nX4,new,,,5\n",
        profile,
        update=True,
    )

    device.refresh_from_db()
    assert [one.verdict for one in decisions] == [Verdict.UPDATED, Verdict.UNCHANGED, Verdict.REFUSED, Verdict.CREATED]
    assert list(map(str, decisions[0].changes)) == [
        "label from 'before' to 'after'",
        "server attribute fw from 1 to 2",
        "credentials replaced",
    ]
    assert (device.label, device.description, device.provisioned_at) == ("after", "kept", device.created_at)
    assert DeviceAttribute.objects.get(device=device).value == 2
    assert authenticate(PresentedToken("after-token")) == device
    assert "another profile" in str(decisions[2].refusal)


def test_token_that_an_update_sets_free_can_be_given_to_a_later_row():
    profile = make_profile()
    device_create(name="X1", profile=profile, credentials=AccessToken("token-1"))
    device_create(name="X2", profile=profile, credentials=AccessToken("token-2"))

    decisions = import_text("name,token\nX2,token-1\nX1,token-9\nX2b,token-1\n", profile, update=True)

    assert refusals(decisions) == {2: "token: The credentials belong to device 'X1'."}
    assert authenticate(PresentedToken("token-1")).name == "X2b"


def test_dry_run_decides_as_the_import_and_writes_nothing(monkeypatch):
    monkeypatch.setattr(pipeline, "CHUNK_ROWS", 3)
    profile = make_profile("testImport")
    device_create(name="Device 2", profile=profile, label="x")
    overrides = {"Data10": Column(ColumnType.ACCESS_TOKEN)}
    before = [model.objects.count() for model in (Device, DeviceCredentials, DeviceAttribute)]

    dry = import_text(GUIDE_SAMPLE, profile, update=True, dry_run=True, **overrides)

    assert [model.objects.count() for model in (Device, DeviceCredentials, DeviceAttribute)] == before
    real = import_text(GUIDE_SAMPLE, profile, update=True, **overrides)
    assert [(one.verdict, str(one.refusal), one.changes) for one in dry] == [
        (one.verdict, str(one.refusal), one.changes) for one in real
    ]


def test_list_of_new_devices_is_compared_with_nothing_until_something_is_taken(monkeypatch):
    monkeypatch.setattr(pipeline, "CHUNK_ROWS", 2)
    profile = make_profile()
    device_create(name="X3", profile=profile, credentials=AccessToken("token-3"))
    with CaptureQueriesContext(connection) as captured:
        decisions = import_text("name,token\nX1,token-1\nX2,token-2\nX3,token-9\nX4,token-3\nX5,token-1\nX6,token-6\n", profile)

    assert refusals(decisions) == {
        4: "name: A device with this name already exists.",
        5: "token: The credentials belong to device 'X3'.",
        6: "token: The credentials belong to device 'X1'.",
    }
    assert sorted(Device.objects.values_list("name", flat=True)) == ["X1", "X2", "X3", "X6"]
    # Of three chunks the second finds out, and it and the third are compared.
    reads = [query["sql"] for query in captured if query["sql"].startswith("SELECT") and "devices_device" in query["sql"]]
    assert len(reads) == 2 * len({text.split(" FROM ")[1].split()[0] for text in reads}) == 4


def test_long_rows_are_committed_fewer_at_a_time(monkeypatch):
    monkeypatch.setattr(pipeline, "CHUNK_CHARACTERS", 1_000)
    sizes = []
    decide = pipeline.decide
    monkeypatch.setattr(pipeline, "decide", lambda rows, ledger: sizes.append(len(rows)) or decide(rows, ledger))

    import_text("name,note\n" + "".join(f"X{number},{'n' * 300}\n" for number in range(10)), make_profile())

    assert sizes == [4, 4, 2]
    assert Device.objects.count() == 10


def test_import_goes_on_after_a_line_and_still_knows_the_names_before_it():
    profile = make_profile()
    content = b"name\na\nb\nc\na\n"
    form = FileFormat("utf-8-sig", ",")
    decisions = []

    import_file(
        io.BytesIO(content),
        ImportSpec(form, mapped(["name"], {}), profile),
        on_commit=lambda chunk: decisions.extend(chunk.decisions),
        after_line=3,
    )

    assert [one.row.name for one in decisions] == ["c", "a"]
    assert refusals(decisions) == {5: "name: The name is already on line 2."}


def test_chunk_whose_note_fails_is_not_written():
    def fail(_chunk):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        import_file(
            io.BytesIO(b"name\na\n"),
            ImportSpec(FileFormat("utf-8-sig", ","), mapped(["name"], {}), make_profile()),
            before_commit=fail,
        )

    assert not Device.objects.exists()
