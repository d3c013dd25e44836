/* Wrong guesses, counted by source address and minute. Bounded memory: an attacker with many addresses only pushes out the
   counts of other attackers. Used by the broker's thread alone. */
#ifndef FIRSTLIGHT_LIMITS_H
#define FIRSTLIGHT_LIMITS_H

#include <stdbool.h>
#include <time.h>

struct limits;

/* `per_minute` guesses are allowed from one address (IPv6: from one network of 64 bits); 0 for no limit. */
struct limits *limits_new(unsigned int per_minute);
void limits_free(struct limits *limits);
/* Returns whether `address` has used up its guesses in the minute of `now`. */
bool limits_exceeded(struct limits *limits, const char *address, time_t now);
void limits_count_guess(struct limits *limits, const char *address, time_t now);

#endif
