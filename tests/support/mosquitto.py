"""Debian's Mosquitto with our configuration from deploy/mosquitto, paths and ports rewritten; its command line clients."""

import shutil
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.processes import Server, free_port, lasting_port, listens, program, wait_for
from tests.support.web import ROOT

PASSWORD = "the-bridge's-password-in-tests"
DEPLOY = ROOT / "deploy" / "mosquitto"


class Mosquitto:
    """Mosquitto on two free ports.

    `shared` chooses devices-shared.acl, `open_to_all` no ACL at all on the devices' listener. Beside the bridge's account
    there is `collector`, who may hear the answers to all devices.
    """

    def __init__(self, folder: Path, *, shared: bool = False, open_to_all: bool = False) -> None:
        self.folder = folder
        self.device_port, self.bridge_port = lasting_port(), lasting_port()
        self._server: Server | None = None
        folder.mkdir(parents=True)
        for acl in DEPLOY.glob("*.acl"):
            shutil.copy(acl, folder)
        passwords = folder / "passwords"
        passwords.write_text(f"bridge:{PASSWORD}\ncollector:{PASSWORD}\n")
        with (folder / "bridge.acl").open("a") as rules:
            rules.write("user collector\ntopic read /provision/response/#\n")
        subprocess.run([program("mosquitto_passwd", "mosquitto"), "-U", str(passwords)], check=True)
        (folder / "mosquitto.conf").write_text(self._configuration(shared=shared, open_to_all=open_to_all))

    def _configuration(self, *, shared: bool, open_to_all: bool) -> str:
        text = (DEPLOY / "mosquitto.conf").read_text()
        devices_acl = "acl_file /etc/mosquitto/firstlight/devices.acl\n"
        for old, new in (
            ("listener 1884 ", f"listener {self.bridge_port} "),
            ("listener 1883\n", f"listener {self.device_port} 127.0.0.1\n"),
            (devices_acl, devices_acl.replace("devices", "devices-shared") if shared else "" if open_to_all else devices_acl),
            ("/etc/mosquitto/firstlight", str(self.folder)),
            ("/var/lib/mosquitto/", f"{self.folder}/"),
        ):
            assert old in text, f"deploy/mosquitto/mosquitto.conf no longer has {old!r}"
            text = text.replace(old, new)
        # Started by root it would change to a user who cannot read the tests' folder.
        return f"{text}\nuser root\n"

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables with which a bridge uses this broker."""
        return {
            "MQTT_BROKER_URL": f"mqtt://bridge@127.0.0.1:{self.bridge_port}",
            "MQTT_BROKER_PASSWORD": PASSWORD,
            "MQTT_DEVICE_URL": f"mqtt://127.0.0.1:{self.device_port}",
        }

    def add_tls_listener(self) -> dict[str, str]:
        """Have a listener for the bridge that wants a client certificate. Return the settings with which a bridge uses it."""
        files = certificates(self.folder)
        port = free_port()
        self._switch_on_tls_for_devices(files)
        with (self.folder / "mosquitto.conf").open("a") as conf:
            conf.write(
                f"listener {port} 127.0.0.1\nallow_anonymous false\nrequire_certificate true\nuse_identity_as_username true\n"
                f"cafile {files['ca.crt']}\ncertfile {files['localhost.crt']}\nkeyfile {files['localhost.key']}\n"
                f"acl_file {self.folder}/bridge.acl\n"
            )
        return {
            "MQTT_BROKER_URL": f"mqtts://localhost:{port}",
            "MQTT_CA_FILE": str(files["ca.crt"]),
            "MQTT_CERT_FILE": str(files["bridge.crt"]),
            "MQTT_KEY_FILE": str(files["bridge.key"]),
        }

    def _switch_on_tls_for_devices(self, files: dict[str, Path]) -> None:
        """Do what an operator does: remove the comment signs of that listener."""
        self.tls_port, self.ca = free_port(), files["ca.crt"]
        conf = self.folder / "mosquitto.conf"
        head, listener, rest = conf.read_text().partition("#listener 8883\n")
        assert listener, "deploy/mosquitto/mosquitto.conf no longer has a TLS listener for devices"
        block, _, after = rest.partition("\n\n")
        block = block.replace("#", "").replace("server.crt", "localhost.crt").replace("server.key", "localhost.key")
        conf.write_text(f"{head}listener {self.tls_port} 127.0.0.1\n{block}\n\n{after}")

    def start(self) -> None:
        command = [program("mosquitto", "mosquitto"), "-c", str(self.folder / "mosquitto.conf")]
        self._server = Server(command, self.folder / "log", cwd=self.folder)
        wait_for(lambda: listens(self.device_port) and listens(self.bridge_port), "Mosquitto")

    def stop(self) -> None:
        if self._server:
            self._server.stop()

    def publish(self, topic: str, body: bytes, *, client_id: str = "", qos: int = 0, version: str = "mqttv311") -> None:
        """Publish with mosquitto_pub, as a device."""
        command = [*self._client("mosquitto_pub", version, client_id), "-q", str(qos), "-t", topic, "-s"]
        subprocess.run(command, input=body, check=True, timeout=30, capture_output=True)

    def request(self, topic: str, response: str, body: str, *, client_id: str, wait_s: int = 20) -> str:
        """Return the answer that mosquitto_rr gets over MQTT 5, with Response Topic; empty after `wait_s` without one."""
        # By -m: mosquitto_rr 2.0.11 takes -f and -s, and sends an empty message.
        command = [*self._client("mosquitto_rr", "mqttv5", client_id), "-t", topic, "-e", response, "-W", str(wait_s), "-m", body]
        return subprocess.run(command, check=False, timeout=60, capture_output=True, text=True).stdout

    def request_over_tls(self, client_id: str, body: str) -> str:
        """Return the answer that mosquitto_rr gets on the devices' TLS listener, having checked the broker's certificate."""
        options = ["-V", "mqttv311", "-h", "localhost", "-p", str(self.tls_port), "--cafile", str(self.ca), "-u", "provision"]
        topics = ["-i", client_id, "-t", f"/provision/request/{client_id}", "-e", f"/provision/response/{client_id}"]
        command = [program("mosquitto_rr", "mosquitto-clients"), *options, *topics, "-W", "20", "-m", body]
        return subprocess.run(command, check=False, timeout=60, capture_output=True, text=True).stdout

    def listener(self, *topics: str, client_id: str = "", version: str = "mqttv311") -> "Listener":
        """Return a mosquitto_sub that is subscribed to `topics`."""
        options = [option for topic in topics for option in ("-t", topic)]
        command = [*self._client("mosquitto_sub", version, client_id), "-q", "1", "-d", "-F", "HEARD %t %x", *options]
        return Listener(command)

    def _client(self, name: str, version: str, client_id: str) -> list[str]:
        identity = ["-i", client_id] if client_id else []
        return [program(name, "mosquitto-clients"), "-V", version, "-p", str(self.device_port), "-u", "provision", *identity]


class Listener:
    """A running mosquitto_sub. `heard` grows as it hears: topics and payloads."""

    def __init__(self, command: list[str]) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._granted = threading.Event()
        self._process = subprocess.Popen(["stdbuf", "-oL", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._granted.wait(30), "mosquitto_sub got no SUBACK"

    def wait(self, count: int = 1, timeout_s: float = 30.0) -> list[bytes]:
        """Return the payloads heard, once there are `count` of them."""
        wait_for(lambda: len(self.heard) >= count, f"{count} messages, heard {len(self.heard)}", timeout_s)
        return [body for _, body in self.heard]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("Subscribed (mid:"):
                self._granted.set()
            elif line.startswith("HEARD "):
                _, topic, body = line.rstrip("\n").split(" ", 2)
                self.heard.append((topic, bytes.fromhex(body)))


def certificates(folder: Path) -> dict[str, Path]:
    """Make a CA and certificates for the names `localhost` and `bridge`; return the PEM files by name."""
    authority = _key_and_certificate("ca", None)
    made = {"ca": authority} | {name: _key_and_certificate(name, authority) for name in ("localhost", "bridge")}
    files = {}
    for name, (key, certificate) in made.items():
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        for suffix, text in (("key", pem), ("crt", certificate.public_bytes(serialization.Encoding.PEM))):
            files[f"{name}.{suffix}"] = folder / f"{name}.{suffix}"
            files[f"{name}.{suffix}"].write_bytes(text)
    return files


def _key_and_certificate(
    name: str, authority: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, issuer = (authority[0], authority[1].subject) if authority else (key, subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2046, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    return key, builder.sign(signer, hashes.SHA256())
