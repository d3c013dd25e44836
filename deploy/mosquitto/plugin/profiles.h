/* The profiles of the devices: their names and the topics that they allow their devices. Written by the feed's thread, read by
   the broker's. */
#ifndef FIRSTLIGHT_PROFILES_H
#define FIRSTLIGHT_PROFILES_H

#include "topics.h"

struct profiles;

struct profiles *profiles_new(void);
void profiles_free(struct profiles *profiles);
/* Set a profile from the words of a line of the feed: its name, then its patterns, percent-encoded. Patterns that cannot be used are
   left out and counted in `*unusable`. Returns its number here, which it keeps; 0 when there are too many profiles. */
uint16_t profiles_put(struct profiles *profiles, struct id id, const char *words, unsigned int *unusable);
/* Returns whether a device of this profile may use `topic` (or, subscribing, the filter `topic`). `names` needs no profile. */
bool profiles_allow(struct profiles *profiles, uint16_t number, struct topic_names names, const char *topic);
/* Write the line of a profile, without its line end. For the writing thread only. Returns false when there is no such profile. */
bool profiles_format(const struct profiles *profiles, uint16_t number, char *out, size_t size);

#endif
