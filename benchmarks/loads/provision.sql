-- The rows of one provisioned device, written by one statement: what this machine's database can do at most.
WITH device AS (
    INSERT INTO devices_device (id, name, label, description, profile_id, gateway, blocked, provisioned_at, provisioned_with_id,
                                retry_id, created_at, updated_at)
    VALUES (gen_random_uuid(), gen_random_uuid()::text, '', '', :profile::uuid, false, false, now(), :key::uuid,
            md5(random()::text) || md5(random()::text), now(), now())
    RETURNING id, name
), credentials AS (
    INSERT INTO devices_devicecredentials (device_id, type, credentials_id, value, updated_at)
    SELECT id, 'ACCESS_TOKEN', md5(random()::text) || md5(random()::text), repeat(md5(random()::text), 4), now() FROM device
), attribute AS (
    INSERT INTO devices_deviceattribute (id, device_id, scope, key, value, updated_at)
    SELECT gen_random_uuid(), id, 'SERVER_SCOPE', 'provisionState', '"provisioned"', now() FROM device
)
INSERT INTO provisioning_provisionattempt (id, created_at, transport, address, request_id, profile_id, key_id, device_name, device_id,
                                           outcome, reason, detail)
SELECT gen_random_uuid(), now(), 'HTTP', '127.0.0.1', md5(random()::text), :profile::uuid, :key::uuid, name, id, 'SUCCESS', 'CREATED', ''
FROM device;
