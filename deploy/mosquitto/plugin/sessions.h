/* The clients that the plugin has admitted and that are connected now. Used by the broker's thread alone. */
#ifndef FIRSTLIGHT_SESSIONS_H
#define FIRSTLIGHT_SESSIONS_H

#include "digest.h"

enum role { ROLE_NONE, ROLE_PROVISION, ROLE_DEVICE, ROLE_BRIDGE };

#define MAX_FILTERS 64 /* subscriptions that are remembered for one client; more count as "all" */

struct session {
    char *client_id;
    const void *owner; /* the broker's object of the connection: a newer connection with this client id has another */
    enum role role;
    struct id device;       /* ROLE_DEVICE */
    char *inbox;            /* ROLE_DEVICE: below this topic the operator writes to it */
    bool own_response_topic; /* ROLE_PROVISION: it listens on /provision/response/{client_id} */
    int response_qos;
    bool all_filters; /* its subscriptions are not known: a session resumed from before, or too many of them */
    size_t filter_count;
    struct subscription {
        char *filter;
        int qos;
    } *filters;
    uint64_t hashes[3];
    struct session *next[3];
};

struct sessions;

struct sessions *sessions_new(void);
void sessions_free(struct sessions *sessions);
/* Add the session of a client that has just been admitted; one of the same client id gives way. `inbox` may be NULL. */
struct session *sessions_add(struct sessions *sessions, const char *client_id, const void *owner, enum role role, struct id device,
                             const char *inbox);
/* Remove the session of a connection that has ended, unless a newer connection has taken the client id over. */
void sessions_remove(struct sessions *sessions, const char *client_id, const void *owner);
struct session *sessions_find(struct sessions *sessions, const char *client_id);
/* The sessions of a device, or with an inbox: call with `after` NULL, then with what was returned, until it is NULL. */
struct session *sessions_of_device(struct sessions *sessions, struct id device, const struct session *after);
struct session *sessions_of_inbox(struct sessions *sessions, const char *inbox, size_t length, const struct session *after);
size_t sessions_count(const struct sessions *sessions);

void session_subscribe(struct session *session, const char *filter, int qos);
void session_unsubscribe(struct session *session, const char *filter);
/* Returns the highest quality of service with which the client is subscribed to `topic`, -1 when it is not. */
int session_subscribed_qos(const struct session *session, const char *topic);

#endif
