"""The installation's own CA and server certificate."""

import stat

import pytest
from cryptography import x509

from transports.mqtt.broker import certificates
from transports.mqtt.broker.certificates import own_certificate

HOSTS = ("localhost", "127.0.0.1", "machine")


def loaded(file):
    return x509.load_pem_x509_certificate(file.read_bytes())


def names(file):
    return loaded(file).extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_first_run_makes_a_ca_and_a_certificate_for_all_hosts(tmp_path):
    files = own_certificate(tmp_path / "tls", HOSTS)

    loaded(files.certificate).verify_directly_issued_by(loaded(files.ca))
    assert names(files.certificate).get_values_for_type(x509.DNSName) == ["localhost", "machine"]
    assert [str(one) for one in names(files.certificate).get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    for key in (files.key, tmp_path / "tls" / "ca.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_later_run_keeps_the_certificate(tmp_path):
    before = own_certificate(tmp_path, HOSTS).certificate.read_bytes()

    assert own_certificate(tmp_path, reversed(HOSTS)).certificate.read_bytes() == before


@pytest.mark.parametrize("change", ["another host", "soon expired", "another key", "no certificate"])
def test_certificate_that_no_longer_serves_is_renewed_under_the_same_ca(tmp_path, monkeypatch, change):
    if change == "soon expired":
        monkeypatch.setattr(certificates, "SERVER_DAYS", certificates.RENEW_DAYS - 1)
    files = own_certificate(tmp_path, HOSTS)
    monkeypatch.undo()
    ca, before = files.ca.read_bytes(), files.certificate.read_bytes()
    if change == "another key":
        files.key.write_bytes((tmp_path / "ca.key").read_bytes())
    if change == "no certificate":
        files.certificate.unlink()

    own_certificate(tmp_path, (*HOSTS, "192.168.0.7") if change == "another host" else HOSTS)

    assert files.ca.read_bytes() == ca
    assert files.certificate.read_bytes() != before
    loaded(files.certificate).verify_directly_issued_by(loaded(files.ca))


def test_ca_whose_key_was_removed_is_never_replaced(tmp_path):
    files = own_certificate(tmp_path, HOSTS)
    (tmp_path / "ca.key").unlink()

    own_certificate(tmp_path, HOSTS)

    with pytest.raises(FileNotFoundError):
        own_certificate(tmp_path, (*HOSTS, "another"))
    assert files.ca.exists()
