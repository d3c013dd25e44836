/* Who is it, and what may it do: decisions from what the plugin knows, without the broker. FEED.md and docs/protocol.md have the
   rules. */
#ifndef FIRSTLIGHT_ADMISSION_H
#define FIRSTLIGHT_ADMISSION_H

#include "options.h"
#include "profiles.h"
#include "replica.h"
#include "sessions.h"

struct guard {
    const struct options *options;
    const struct digest_key *key;
    struct replica *replica;
    struct profiles *profiles;
};

/* What a client presented in CONNECT and in the TLS handshake; a missing part is NULL. */
struct presented {
    const char *client_id, *username, *password;
    X509 *certificate;
};

/* A client as it is known after its admission. */
struct client {
    enum role role;
    const char *client_id;
    struct entry device; /* ROLE_DEVICE */
    char outbox[MAX_TOPIC], inbox[MAX_TOPIC]; /* ROLE_DEVICE: the operator's topics of this device */
};

enum { NAME_SIZE = 80 };

/* Decide about a CONNECT; fills `client` for any role but ROLE_NONE. */
enum role admission_decide(const struct guard *guard, const struct presented *presented, struct client *client);
/* The user name that an admitted client gets in the broker, in place of its token. It survives in the broker's own store, so that
   what a sleeping session may receive is decided by it. */
void admission_username(const struct client *client, char out[NAME_SIZE]);
/* Returns whether a client may not call itself so. */
bool admission_username_is_reserved(const char *username);
/* The way back. ROLE_NONE: not one of ours, or a device that is no longer in the replica (`*ours` is true then). */
enum role admission_of_username(const struct guard *guard, const char *username, const char *client_id, struct client *client, bool *ours);

bool may_publish(const struct guard *guard, const struct client *client, const char *topic);
bool may_subscribe(const struct guard *guard, const struct client *client, const char *filter);
bool may_receive(const struct guard *guard, const struct client *client, const char *topic);
/* Write what the broker must call the topic of a message that the client may publish, "" when it keeps its name. Returns false
   when there is no such name. */
bool published_topic(const struct client *client, const char *topic, char *out, size_t size);

/* The topic of the answers to one client, which the bridge publishes to. */
bool own_response_topic(const char *client_id, char *out, size_t size);
/* Read the client id from the topic of an answer; returns false when it has none. */
bool client_of_response(const char *topic, char *out, size_t size);

#endif
