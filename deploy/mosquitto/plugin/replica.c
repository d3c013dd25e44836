#include "replica.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 1024

/* About 90 bytes for a device with a name of 20 characters. */
struct record {
    struct record *next_by_device, *next_by_lookup;
    struct id device, lookup;
    uint32_t generation;
    uint32_t reported; /* seconds since 1970 */
    uint16_t profile;
    uint8_t flags;
    char rest[]; /* digest of the password when there is one; name; NUL */
};

struct replica {
    pthread_mutex_t lock;
    struct record **by_device, **by_lookup;
    size_t buckets, count;
    uint32_t generation;
};

/* Digests are keyed and ids come from Firstlight, in both cases random in their last bytes: an attacker cannot choose a bucket. */
static size_t bucket_of(const struct replica *replica, const struct id *id)
{
    uint64_t hash;

    memcpy(&hash, id->bytes + ID_SIZE - sizeof hash, sizeof hash);
    return hash & (replica->buckets - 1);
}

/* Not in constant time: these are ids and keyed digests, and the chains of every connection are walked by it. */
static bool equal(const struct id *left, const struct id *right)
{
    return memcmp(left->bytes, right->bytes, ID_SIZE) == 0;
}

static size_t password_size(uint8_t flags)
{
    return flags & ENTRY_PASSWORD ? ID_SIZE : 0;
}

static const char *name_of(const struct record *record)
{
    return record->rest + password_size(record->flags);
}

static void copy_out(const struct record *record, struct entry *out)
{
    out->device = record->device;
    out->lookup = record->lookup;
    out->flags = record->flags;
    out->profile = record->profile;
    if (record->flags & ENTRY_PASSWORD)
        memcpy(out->password.bytes, record->rest, ID_SIZE);
    strcpy(out->name, name_of(record));
}

static bool equals(const struct record *record, const struct entry *entry)
{
    return record->flags == entry->flags && record->profile == entry->profile && equal(&record->lookup, &entry->lookup) &&
           memcmp(record->rest, entry->password.bytes, password_size(record->flags)) == 0 &&
           strcmp(name_of(record), entry->name) == 0;
}

static struct record *record_new(const struct entry *entry)
{
    size_t name = strlen(entry->name) + 1, password = password_size(entry->flags);
    struct record *record = malloc(sizeof *record + password + name);

    if (!record)
        abort(); /* without memory for its list the broker cannot decide who may enter */
    record->device = entry->device;
    record->lookup = entry->lookup;
    record->reported = 0;
    record->profile = entry->profile;
    record->flags = entry->flags;
    memcpy(record->rest, entry->password.bytes, password);
    memcpy(record->rest + password, entry->name, name);
    return record;
}

static void link_record(struct replica *replica, struct record *record)
{
    struct record **device = &replica->by_device[bucket_of(replica, &record->device)];
    struct record **lookup = &replica->by_lookup[bucket_of(replica, &record->lookup)];

    record->next_by_device = *device;
    *device = record;
    record->next_by_lookup = *lookup;
    *lookup = record;
}

static void unlink_lookup(struct replica *replica, struct record *record)
{
    struct record **place = &replica->by_lookup[bucket_of(replica, &record->lookup)];

    while (*place != record)
        place = &(*place)->next_by_lookup;
    *place = record->next_by_lookup;
}

static struct record **find_device(struct replica *replica, const struct id *device)
{
    struct record **place = &replica->by_device[bucket_of(replica, device)];

    while (*place && !equal(&(*place)->device, device))
        place = &(*place)->next_by_device;
    return place;
}

static void unlink_at(struct replica *replica, struct record **place)
{
    struct record *record = *place;

    unlink_lookup(replica, record);
    *place = record->next_by_device;
    replica->count--;
    free(record);
}

static struct record **new_buckets(size_t count)
{
    struct record **buckets = calloc(count, sizeof *buckets);

    if (!buckets)
        abort();
    return buckets;
}

/* Make room for `wanted` devices. Twice as many buckets cost 16 bytes a device, and keep the chains at one or two. */
static void reserve(struct replica *replica, size_t wanted)
{
    size_t old_count = replica->buckets, buckets = old_count;
    struct record **old_devices = replica->by_device, **old_lookups = replica->by_lookup;

    while (buckets < wanted)
        buckets *= 2;
    if (buckets == old_count)
        return;
    struct record **devices = new_buckets(buckets), **lookups = new_buckets(buckets);
    pthread_mutex_lock(&replica->lock);
    replica->by_device = devices;
    replica->by_lookup = lookups;
    replica->buckets = buckets;
    for (size_t i = 0; i < old_count; i++) {
        struct record *record = old_devices[i];
        while (record) {
            struct record *next = record->next_by_device;
            link_record(replica, record);
            record = next;
        }
    }
    pthread_mutex_unlock(&replica->lock);
    free(old_devices);
    free(old_lookups);
}

struct replica *replica_new(void)
{
    struct replica *replica = calloc(1, sizeof *replica);

    if (!replica)
        abort();
    pthread_mutex_init(&replica->lock, NULL);
    replica->buckets = FIRST_BUCKETS;
    replica->by_device = new_buckets(FIRST_BUCKETS);
    replica->by_lookup = new_buckets(FIRST_BUCKETS);
    return replica;
}

void replica_free(struct replica *replica)
{
    for (size_t i = 0; i < replica->buckets; i++) {
        while (replica->by_device[i]) {
            struct record *record = replica->by_device[i];
            replica->by_device[i] = record->next_by_device;
            free(record);
        }
    }
    free(replica->by_device);
    free(replica->by_lookup);
    pthread_mutex_destroy(&replica->lock);
    free(replica);
}

size_t replica_count(struct replica *replica)
{
    pthread_mutex_lock(&replica->lock);
    size_t count = replica->count;
    pthread_mutex_unlock(&replica->lock);
    return count;
}

bool replica_put(struct replica *replica, const struct entry *entry)
{
    struct record *record = NULL;
    bool changed = false;

    reserve(replica, replica->count + 1);
    struct record **place = find_device(replica, &entry->device); /* reading needs no lock: only this thread writes */
    if (*place && equals(*place, entry)) {
        (*place)->generation = replica->generation;
        return false;
    }
    record = record_new(entry);
    record->generation = replica->generation;
    pthread_mutex_lock(&replica->lock);
    if (*place) {
        changed = true;
        record->reported = (*place)->reported;
        unlink_at(replica, place);
    }
    link_record(replica, record);
    replica->count++;
    pthread_mutex_unlock(&replica->lock);
    return changed;
}

bool replica_remove(struct replica *replica, struct id device)
{
    pthread_mutex_lock(&replica->lock);
    struct record **place = find_device(replica, &device);
    bool found = *place != NULL;
    if (found)
        unlink_at(replica, place);
    pthread_mutex_unlock(&replica->lock);
    return found;
}

void replica_begin_snapshot(struct replica *replica, unsigned long expected)
{
    /* The number is another machine's word: it may save some growing, but takes no more than 1 GB. */
    reserve(replica, expected < (1UL << 26) ? expected : 1UL << 26);
    replica->generation++;
}

void replica_end_snapshot(struct replica *replica, gone_callback gone, void *context)
{
    for (size_t i = 0; i < replica->buckets; i++) {
        struct record **place = &replica->by_device[i];
        while (*place) {
            if ((*place)->generation == replica->generation) {
                place = &(*place)->next_by_device;
                continue;
            }
            struct id device = (*place)->device;
            pthread_mutex_lock(&replica->lock);
            unlink_at(replica, place);
            pthread_mutex_unlock(&replica->lock);
            gone(device, context);
        }
    }
}

static bool find_locked(struct replica *replica, const struct id *lookup, const char *client_id, struct entry *out)
{
    const struct record *first = NULL, *named = NULL;
    size_t found = 0;

    for (const struct record *record = replica->by_lookup[bucket_of(replica, lookup)]; record; record = record->next_by_lookup) {
        if (!equal(&record->lookup, lookup))
            continue;
        found++;
        first = record;
        if (client_id && same_text(name_of(record), client_id))
            named = record;
    }
    const struct record *chosen = found > 1 ? named : first;
    if (chosen)
        copy_out(chosen, out);
    return chosen != NULL;
}

bool replica_find(struct replica *replica, struct id lookup, const char *client_id, struct entry *out)
{
    pthread_mutex_lock(&replica->lock);
    bool found = find_locked(replica, &lookup, client_id, out);
    pthread_mutex_unlock(&replica->lock);
    return found;
}

bool replica_device(struct replica *replica, struct id device, struct entry *out)
{
    pthread_mutex_lock(&replica->lock);
    const struct record *record = *find_device(replica, &device);
    if (record)
        copy_out(record, out);
    pthread_mutex_unlock(&replica->lock);
    return record != NULL;
}

bool replica_use_is_due(struct replica *replica, struct id device, time_t now, unsigned int interval_s)
{
    bool due = false;

    pthread_mutex_lock(&replica->lock);
    struct record *record = *find_device(replica, &device);
    if (record && (uint32_t)now - record->reported >= interval_s) {
        record->reported = (uint32_t)now;
        due = true;
    }
    pthread_mutex_unlock(&replica->lock);
    return due;
}

bool replica_each(struct replica *replica, bool (*visit)(const struct entry *entry, void *context), void *context)
{
    struct entry entry;

    for (size_t i = 0; i < replica->buckets; i++) {
        for (const struct record *record = replica->by_device[i]; record; record = record->next_by_device) {
            copy_out(record, &entry);
            if (!visit(&entry, context))
                return false;
        }
    }
    return true;
}
