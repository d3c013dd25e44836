/* The profiles of the devices: their names and the topics that they allow their devices. Written by the feed's thread, read by
   the broker's. */
#ifndef FIRSTLIGHT_PROFILES_H
#define FIRSTLIGHT_PROFILES_H

#include "topics.h"

struct profiles;

struct profiles *profiles_new(void);
void profiles_free(struct profiles *profiles);
/* Set a profile from the words of a line of the feed: its name, then its patterns, percent-encoded. */
bool profiles_put(struct profiles *profiles, uint16_t number, const char *words);
/* Returns whether a device of this profile may use `topic` (or, subscribing, the filter `topic`). `names` needs no profile. */
bool profiles_allow(struct profiles *profiles, uint16_t number, struct topic_names names, const char *topic);
/* Call `visit` with what was put. For the writing thread only. */
bool profiles_each(struct profiles *profiles, bool (*visit)(uint16_t number, const char *words, void *context), void *context);

#endif
