#include "digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char HEX[] = "0123456789abcdef";

/* No credentials hold longer texts, so their digest need not be right, only different from all others. */
#define MAX_PART 1200

static void hmac(const void *key, size_t key_size, const void *data, size_t size, unsigned char out[32])
{
    unsigned int length = 32;

    if (!HMAC(EVP_sha256(), key, (int)key_size, data, size, out, &length))
        abort(); /* out of memory, or a libcrypto without SHA-256: no decision would be safe */
}

void digest_key_from_secret(struct digest_key *key, const char *secret)
{
    static const char purpose[] = "firstlight replica 1";

    hmac(secret, strlen(secret), purpose, sizeof purpose - 1, key->bytes);
}

/* The kind and the parts are joined by NUL, which no MQTT text has, so two different inputs never look the same. */
static struct id digest(const struct digest_key *key, const char *kind, const char *first, const char *second)
{
    char data[64 + 2 * (MAX_PART + 1)];
    const char *parts[] = {first, second};
    unsigned char full[32];
    struct id out;
    size_t size = strlen(kind);

    memcpy(data, kind, size);
    for (size_t i = 0; i < 2; i++) {
        if (!parts[i])
            continue;
        size_t length = strnlen(parts[i], MAX_PART);
        data[size++] = '\0';
        memcpy(data + size, parts[i], length);
        size += length;
    }
    hmac(key->bytes, sizeof key->bytes, data, size, full);
    OPENSSL_cleanse(data, size);
    memcpy(out.bytes, full, ID_SIZE);
    return out;
}

struct id digest_username(const struct digest_key *key, const char *username)
{
    return digest(key, "username", username, NULL);
}

struct id digest_client_id(const struct digest_key *key, const char *client_id)
{
    return digest(key, "client id", client_id, NULL);
}

struct id digest_client_id_and_username(const struct digest_key *key, const char *client_id, const char *username)
{
    return digest(key, "client id and username", client_id, username);
}

struct id digest_password(const struct digest_key *key, struct id device, const char *password)
{
    char hex[ID_HEX + 1];

    id_to_hex(&device, hex);
    return digest(key, "password", hex, password);
}

struct id digest_of_key(const struct digest_key *key)
{
    return digest(key, "file", NULL, NULL);
}

/* The id by which Firstlight finds a certificate: SHA3-256, in hex, of the base64 of its DER form. */
static bool certificate_id(X509 *certificate, char hex[65])
{
    unsigned char *der = NULL, hash[32];
    int der_size = i2d_X509(certificate, &der);
    unsigned int hash_size = sizeof hash;
    bool done = false;

    if (der_size <= 0)
        return false;
    unsigned char *body = malloc((size_t)der_size * 4 / 3 + 8);
    if (body) {
        int length = EVP_EncodeBlock(body, der, der_size);
        done = EVP_Digest(body, (size_t)length, hash, &hash_size, EVP_sha3_256(), NULL) == 1;
    }
    for (size_t i = 0; done && i < sizeof hash; i++) {
        hex[2 * i] = HEX[hash[i] >> 4];
        hex[2 * i + 1] = HEX[hash[i] & 15];
    }
    hex[64] = '\0';
    free(body);
    OPENSSL_free(der);
    return done;
}

bool digest_certificate(const struct digest_key *key, X509 *certificate, struct id *out)
{
    char hex[65];

    if (!certificate_id(certificate, hex))
        return false;
    *out = digest(key, "certificate", hex, NULL);
    return true;
}

bool same_id(const struct id *left, const struct id *right)
{
    return CRYPTO_memcmp(left->bytes, right->bytes, ID_SIZE) == 0;
}

bool same_text(const char *left, const char *right)
{
    size_t length = strlen(left);

    return length == strlen(right) && CRYPTO_memcmp(left, right, length) == 0;
}

static int nibble(char digit)
{
    const char *found = digit ? strchr(HEX, digit) : NULL;

    return found ? (int)(found - HEX) : -1;
}

bool id_from_hex(const char *text, struct id *out)
{
    for (size_t i = 0; i < ID_SIZE; i++) {
        int high = nibble(text[2 * i]);
        if (high < 0)
            return false;
        int low = nibble(text[2 * i + 1]);
        if (low < 0)
            return false;
        out->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void id_to_hex(const struct id *value, char *out)
{
    for (size_t i = 0; i < ID_SIZE; i++) {
        out[2 * i] = HEX[value->bytes[i] >> 4];
        out[2 * i + 1] = HEX[value->bytes[i] & 15];
    }
    out[ID_HEX] = '\0';
}

void id_to_uuid(const struct id *value, char out[UUID_SIZE])
{
    char hex[ID_HEX + 1];

    id_to_hex(value, hex);
    snprintf(out, UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

bool id_from_uuid(const char *text, struct id *out)
{
    char hex[ID_HEX + 1];
    size_t used = 0;

    for (; *text; text++) {
        if (*text == '-')
            continue;
        if (used == ID_HEX)
            return false;
        hex[used++] = *text;
    }
    hex[used] = '\0';
    return used == ID_HEX && id_from_hex(hex, out);
}
