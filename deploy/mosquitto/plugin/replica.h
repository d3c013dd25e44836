/* The devices that may connect, in memory. One thread writes (the feed), one reads (the broker); a lock is held for one look-up
   or one change at a time, so that the broker never waits for a snapshot. */
#ifndef FIRSTLIGHT_REPLICA_H
#define FIRSTLIGHT_REPLICA_H

#include <time.h>

#include "lines.h"

struct replica;

/* Called for a device whose sessions must end. */
typedef void (*gone_callback)(struct id device, void *context);

struct replica *replica_new(void);
void replica_free(struct replica *replica);
size_t replica_count(struct replica *replica);

/* Add or replace a device. Returns true when its sessions must end since something about it has changed. */
bool replica_put(struct replica *replica, const struct entry *entry);
/* Returns true when the device was there. */
bool replica_remove(struct replica *replica, struct id device);

/* A snapshot changes the table in place: what it does not mention is removed at its end. */
void replica_begin_snapshot(struct replica *replica, unsigned long expected);
void replica_end_snapshot(struct replica *replica, gone_callback gone, void *context);

/* Find by what a client presents. When several devices claim one certificate, the client id must be the device's name. */
bool replica_find(struct replica *replica, struct id lookup, const char *client_id, struct entry *out);
bool replica_device(struct replica *replica, struct id device, struct entry *out);
/* Returns true when the use of a device is due to be reported, and notes that it has been. */
bool replica_use_is_due(struct replica *replica, struct id device, time_t now, unsigned int interval_s);

/* Call `visit` with every entry until it returns false. For the writing thread only; no lock is held. */
bool replica_each(struct replica *replica, bool (*visit)(const struct entry *entry, void *context), void *context);

#endif
