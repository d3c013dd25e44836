/* Digests of credentials under the key of this broker: all that the plugin keeps of a secret. See FEED.md, Digests. */
#ifndef FIRSTLIGHT_DIGEST_H
#define FIRSTLIGHT_DIGEST_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_SIZE 16
#define ID_HEX (2 * ID_SIZE)

/* Sixteen bytes: a digest, or the id of a device. */
struct id {
    uint8_t bytes[ID_SIZE];
};

struct digest_key {
    unsigned char bytes[32];
};

/* Derive the key of the digests from the secret that the broker presents to Firstlight. */
void digest_key_from_secret(struct digest_key *key, const char *secret);

struct id digest_username(const struct digest_key *key, const char *username);
struct id digest_client_id(const struct digest_key *key, const char *client_id);
struct id digest_client_id_and_username(const struct digest_key *key, const char *client_id, const char *username);
struct id digest_password(const struct digest_key *key, struct id device, const char *password);
/* A value by which a stored file is recognised as made under this key. */
struct id digest_of_key(const struct digest_key *key);
/* Returns false when the certificate has no DER form. */
bool digest_certificate(const struct digest_key *key, X509 *certificate, struct id *out);

/* Compares in constant time. */
bool same_id(const struct id *left, const struct id *right);
bool same_text(const char *left, const char *right);

/* Read ID_HEX lower-case hex digits; returns false for anything else. */
bool id_from_hex(const char *text, struct id *out);
/* Write ID_HEX digits and a final NUL. */
void id_to_hex(const struct id *value, char *out);
/* The id of a device as people read it, 8-4-4-4-12 digits, with a final NUL; and back. */
#define UUID_SIZE 37
void id_to_uuid(const struct id *value, char out[UUID_SIZE]);
bool id_from_uuid(const char *text, struct id *out);

#endif
