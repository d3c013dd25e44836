"""Rows that stand in the tables before anything is measured: on empty tables every plan is fast."""

from benchmarks.installation import Installation

DEVICES = 20_000
# What is inserted here refers to what is there; looking that up for each of millions of rows would take most of the time.
UNCHECKED = "SET session_replication_role = replica;"


def preload(installation: Installation, profile: dict[str, str], devices: int = DEVICES, attempts: int = DEVICES) -> None:
    """Insert provisioned devices with credentials and attribute, and attempts; then analyze, so that plans are made for them."""
    insert_devices(installation, profile, "preloaded", devices, provisioned=True)
    installation.sql(f"""
        {UNCHECKED}
        INSERT INTO provisioning_provisionattempt
            (id, created_at, transport, address, request_id, profile_id, device_id, device_name, outcome, reason, detail)
        SELECT gen_random_uuid(), now() - n * interval '1 second', 'HTTP', '127.0.0.1', '', '{profile["id"]}',
               device.id, device.name, 'SUCCESS', 'CREATED', ''
        FROM generate_series(0, {attempts - 1}) n
        JOIN (SELECT id, name, row_number() OVER () - 1 AS number FROM devices_device) device ON number = n % {devices}""")
    installation.sql("VACUUM ANALYZE")


def insert_devices(installation: Installation, profile: dict[str, str], names: str, count: int, *, provisioned: bool) -> None:
    """Insert `count` devices named `names`-0 … with credentials, each encrypted value a copy of one real one."""
    value = installation.sql("SELECT value FROM devices_devicecredentials LIMIT 1")
    assert value, "one device must have been provisioned for its credentials to be copied"
    at = "now()" if provisioned else "NULL"
    installation.sql(f"""
        {UNCHECKED}
        WITH device AS (
            INSERT INTO devices_device (id, name, label, description, profile_id, gateway, blocked, provisioned_at, retry_id,
                                        created_at, updated_at)
            SELECT gen_random_uuid(), '{names}-' || n, '', '', '{profile["id"]}', false, false, {at}, '', now(), now()
            FROM generate_series(0, {count - 1}) n RETURNING id
        ), credentials AS (
            INSERT INTO devices_devicecredentials (device_id, type, credentials_id, value, updated_at)
            SELECT id, 'ACCESS_TOKEN', md5(id::text) || md5('x' || id::text), '{value}', now() FROM device
        )
        INSERT INTO devices_deviceattribute (id, device_id, scope, key, value, updated_at)
        SELECT gen_random_uuid(), id, 'SERVER_SCOPE', 'batch', '"7"', now() FROM device""")
