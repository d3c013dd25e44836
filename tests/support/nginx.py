"""nginx with our configuration in front of web servers."""

import http.client
import os
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.processes import Server, free_port, listens, program, wait_for
from tests.support.web import ROOT

MAIN = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/main.log;
events {{ worker_connections 4096; }}
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


def certificate(folder: Path) -> None:
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

    def __init__(self, folder: Path, *upstreams: int) -> None:
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

    def tls(self) -> ssl.SSLContext:
        """Return a context that trusts our certificate."""
        return ssl.create_default_context(cafile=self.folder / "firstlight.crt")

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = 30,
    ) -> tuple[int, Message, bytes]:
        """Return status, headers and body of the answer over TLS."""
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.tls(), timeout=timeout_s)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
