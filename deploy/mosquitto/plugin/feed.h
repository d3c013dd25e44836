/* The thread that keeps the replica up to date. FEED.md describes what it asks and what it gets. */
#ifndef FIRSTLIGHT_FEED_H
#define FIRSTLIGHT_FEED_H

#include "options.h"
#include "outbox.h"
#include "profiles.h"
#include "replica.h"

struct feed;

/* Load the stored list and start the thread. What it is given must outlive it. */
struct feed *feed_start(const struct options *options, const struct digest_key *key, struct replica *replica, struct profiles *profiles,
                        struct outbox *outbox);
void feed_stop(struct feed *feed);

#endif
