"""deploy/nginx/firstlight.conf, run by nginx as it stands but for names, ports and files, in front of a web server."""

import http.client
import json
import os
import ssl
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.processes import Server, free_port, listens, program, wait_for
from tests.support.web import ROOT, Web, create_profile, manage

MAIN = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/main.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/firstlight.conf;
}}
"""

# Started by root, its workers would be another user, who may not write below pytest's folder.
USER = "user root;" if os.geteuid() == 0 else ""


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    started = Web(tmp_path_factory.mktemp("web"), TRUSTED_PROXIES="1", METRICS_TOKEN="a-token-of-thirty-characters-x")
    yield started
    started.server.stop()


@pytest.fixture(scope="module")
def profile(web):
    return create_profile(web.environment, "proxied sensors")


def certificate(folder):
    """Write a certificate for localhost, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "firstlight.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "firstlight.key").write_bytes(pem)


class Nginx:
    """Our configuration in front of the web servers on `upstreams`."""

    def __init__(self, folder, *upstreams):
        self.folder, self.port = folder, free_port()
        certificate(folder)
        text = (ROOT / "deploy/nginx/firstlight.conf").read_text()
        for old, new in {
            "listen 80;": f"listen 127.0.0.1:{free_port()};",
            "listen 443 ssl http2;": f"listen 127.0.0.1:{self.port} ssl http2;",
            "firstlight.example": "localhost",
            "/etc/nginx/": f"{folder}/",
            "/var/log/nginx/": f"{folder}/",
            "127.0.0.1:8081": f"127.0.0.1:{upstreams[0]}",
            "127.0.0.1:8082": f"127.0.0.1:{upstreams[1]}",
        }.items():
            assert old in text
            text = text.replace(old, new)
        (folder / "firstlight.conf").write_text(text)
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=USER))
        command = [program("nginx", "nginx-light"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        assert "warn" not in checked.stderr
        self.server = Server(command, folder / "output")
        wait_for(lambda: listens(self.port), "nginx")

    def request(self, method, path, body=None, headers=None):
        """Return status, headers and body of the answer over TLS."""
        context = ssl.create_default_context(cafile=self.folder / "firstlight.crt")
        connection = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=30)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


@pytest.fixture
def nginx(tmp_path, web):
    # The second server is not there, as while it is restarted.
    started = Nginx(tmp_path, web.port, free_port())
    yield started
    started.server.stop()


def asking(profile, name):
    return json.dumps({"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"], "deviceName": name})


def addresses(web):
    code = "from provisioning.models import ProvisionAttempt as A; print(*A.objects.values_list('address', flat=True))"
    return set(manage(web.environment, "shell", "-v", "0", "-c", code).split())


def test_forged_forwarded_addresses_have_no_effect(nginx, web, profile):
    for number, forged in enumerate(("6.6.6.6", "6.6.6.6, 7.7.7.7", "127.0.0.9,", "")):
        status, _, body = nginx.request("POST", "/api/v1/provision", asking(profile, f"p{number}"), {"X-Forwarded-For": forged})
        assert (status, json.loads(body)["status"]) == (200, "SUCCESS")
    assert addresses(web) == {"127.0.0.1"}


def test_access_log_has_no_token_and_the_request_id(nginx, profile):
    _, headers, body = nginx.request("POST", "/api/v1/provision", asking(profile, "logged"))
    token = json.loads(body)["credentialsValue"]
    assert nginx.request("POST", f"/api/v1/{token}/telemetry", '{"t": 1}')[0] == 200
    nginx.server.stop()
    logged = "".join(path.read_text() for path in nginx.folder.glob("*log"))
    lines = [json.loads(line) for line in (nginx.folder / "firstlight.log").read_text().splitlines()]
    assert [line["path"] for line in lines] == ["/api/v1/…"] * 2
    assert lines[0]["request_id"] == headers["X-Request-ID"]
    assert token not in logged


def test_metrics_are_not_reached_through_the_proxy(nginx):
    status, _, _ = nginx.request("GET", "/metrics", headers={"Authorization": "Bearer a-token-of-thirty-characters-x"})
    assert status == 404


@pytest.mark.parametrize("size", [70_000, 2_000_000])
def test_body_too_large_is_refused_in_json(nginx, size):
    status, headers, body = nginx.request("POST", "/api/v1/provision", b"x" * size)
    assert (status, headers["Content-Type"]) == (413, "application/json")
    assert json.loads(body)["status"] == "FAILURE"


def test_while_no_web_server_is_there_devices_get_json_and_when_to_come_again(tmp_path):
    nginx = Nginx(tmp_path, free_port(), free_port())
    try:
        status, headers, body = nginx.request("POST", "/api/v1/provision", b"{}")
    finally:
        nginx.server.stop()
    assert (status, headers["Retry-After"], headers["Content-Type"]) == (503, "5", "application/json")
    assert json.loads(body)["provisionDeviceStatus"] == "FAILURE"
