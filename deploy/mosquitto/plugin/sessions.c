#include "sessions.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "topics.h"

enum { BY_CLIENT, BY_DEVICE, BY_INBOX, INDEXES };

struct sessions {
    uint64_t seed;
    size_t buckets, count;
    struct session **index[INDEXES];
};

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

/* FNV-1a from a random start: clients choose their ids, and must not be able to predict which of them share a bucket. */
static uint64_t hash_of(const struct sessions *sessions, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t hash = sessions->seed;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash ^ hash >> 29;
}

struct sessions *sessions_new(void)
{
    struct sessions *sessions = must(calloc(1, sizeof *sessions));

    if (getrandom(&sessions->seed, sizeof sessions->seed, 0) != sizeof sessions->seed)
        sessions->seed = (uint64_t)(uintptr_t)sessions;
    sessions->buckets = 256;
    for (int i = 0; i < INDEXES; i++)
        sessions->index[i] = must(calloc(sessions->buckets, sizeof(struct session *)));
    return sessions;
}

static bool is_indexed(const struct session *session, int index)
{
    return index == BY_CLIENT || (index == BY_DEVICE ? session->role == ROLE_DEVICE : session->inbox != NULL);
}

static void session_free(struct session *session)
{
    for (size_t i = 0; i < session->filter_count; i++)
        free(session->filters[i].filter);
    free(session->filters);
    free(session->inbox);
    free(session->client_id);
    free(session);
}

void sessions_free(struct sessions *sessions)
{
    for (size_t i = 0; i < sessions->buckets; i++) {
        while (sessions->index[BY_CLIENT][i]) {
            struct session *session = sessions->index[BY_CLIENT][i];
            sessions->index[BY_CLIENT][i] = session->next[BY_CLIENT];
            session_free(session);
        }
    }
    for (int i = 0; i < INDEXES; i++)
        free(sessions->index[i]);
    free(sessions);
}

static void link_session(struct sessions *sessions, struct session *session, int index)
{
    struct session **place = &sessions->index[index][session->hashes[index] & (sessions->buckets - 1)];

    session->next[index] = *place;
    *place = session;
}

static void grow(struct sessions *sessions)
{
    size_t old = sessions->buckets;

    sessions->buckets *= 2;
    for (int index = 0; index < INDEXES; index++) {
        struct session **before = sessions->index[index];
        sessions->index[index] = must(calloc(sessions->buckets, sizeof(struct session *)));
        for (size_t i = 0; i < old; i++) {
            while (before[i]) {
                struct session *session = before[i];
                before[i] = session->next[index];
                link_session(sessions, session, index);
            }
        }
        free(before);
    }
}

static void drop(struct sessions *sessions, struct session *session)
{
    for (int index = 0; index < INDEXES; index++) {
        if (!is_indexed(session, index))
            continue;
        struct session **place = &sessions->index[index][session->hashes[index] & (sessions->buckets - 1)];
        while (*place != session)
            place = &(*place)->next[index];
        *place = session->next[index];
    }
    sessions->count--;
    session_free(session);
}

struct session *sessions_add(struct sessions *sessions, const char *client_id, const void *owner, enum role role, struct id device,
                             const char *inbox)
{
    struct session *old = sessions_find(sessions, client_id);

    if (old)
        drop(sessions, old);
    if (sessions->count >= sessions->buckets)
        grow(sessions);
    struct session *session = must(calloc(1, sizeof *session));
    session->client_id = must(strdup(client_id));
    session->owner = owner;
    session->role = role;
    session->device = device;
    session->inbox = inbox ? must(strdup(inbox)) : NULL;
    session->hashes[BY_CLIENT] = hash_of(sessions, client_id, strlen(client_id));
    session->hashes[BY_DEVICE] = hash_of(sessions, device.bytes, ID_SIZE);
    session->hashes[BY_INBOX] = inbox ? hash_of(sessions, inbox, strlen(inbox)) : 0;
    for (int index = 0; index < INDEXES; index++) {
        if (is_indexed(session, index))
            link_session(sessions, session, index);
    }
    sessions->count++;
    return session;
}

void sessions_remove(struct sessions *sessions, const char *client_id, const void *owner)
{
    struct session *session = sessions_find(sessions, client_id);

    if (session && session->owner == owner)
        drop(sessions, session);
}

static struct session *first_of(const struct sessions *sessions, int index, uint64_t hash)
{
    return sessions->index[index][hash & (sessions->buckets - 1)];
}

struct session *sessions_find(struct sessions *sessions, const char *client_id)
{
    uint64_t hash = hash_of(sessions, client_id, strlen(client_id));
    struct session *session = first_of(sessions, BY_CLIENT, hash);

    while (session && (session->hashes[BY_CLIENT] != hash || strcmp(session->client_id, client_id) != 0))
        session = session->next[BY_CLIENT];
    return session;
}

struct session *sessions_of_device(struct sessions *sessions, struct id device, const struct session *after)
{
    struct session *session = after ? after->next[BY_DEVICE] : first_of(sessions, BY_DEVICE, hash_of(sessions, device.bytes, ID_SIZE));

    while (session && !same_id(&session->device, &device))
        session = session->next[BY_DEVICE];
    return session;
}

struct session *sessions_of_inbox(struct sessions *sessions, const char *inbox, size_t length, const struct session *after)
{
    struct session *session = after ? after->next[BY_INBOX] : first_of(sessions, BY_INBOX, hash_of(sessions, inbox, length));

    while (session && (strlen(session->inbox) != length || memcmp(session->inbox, inbox, length) != 0))
        session = session->next[BY_INBOX];
    return session;
}

size_t sessions_count(const struct sessions *sessions)
{
    return sessions->count;
}

static struct subscription *find_filter(const struct session *session, const char *filter)
{
    for (size_t i = 0; i < session->filter_count; i++) {
        if (strcmp(session->filters[i].filter, filter) == 0)
            return &session->filters[i];
    }
    return NULL;
}

void session_subscribe(struct session *session, const char *filter, int qos)
{
    struct subscription *known = find_filter(session, filter);

    if (known) {
        known->qos = qos;
        return;
    }
    if (session->filter_count == MAX_FILTERS) {
        session->all_filters = true;
        return;
    }
    session->filters = must(realloc(session->filters, (session->filter_count + 1) * sizeof *session->filters));
    session->filters[session->filter_count++] = (struct subscription){must(strdup(filter)), qos};
}

void session_unsubscribe(struct session *session, const char *filter)
{
    struct subscription *known = find_filter(session, filter);

    if (!known)
        return;
    free(known->filter);
    *known = session->filters[--session->filter_count];
}

int session_subscribed_qos(const struct session *session, const char *topic)
{
    int qos = session->all_filters ? 1 : -1;

    for (size_t i = 0; i < session->filter_count; i++) {
        if (session->filters[i].qos > qos && topic_matches(session->filters[i].filter, topic))
            qos = session->filters[i].qos;
    }
    return qos;
}
