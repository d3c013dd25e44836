#include "limits.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SETS 1024
#define WAYS 8

struct source {
    uint64_t address;
    uint32_t minute;
    uint32_t guesses;
};

struct limits {
    unsigned int per_minute;
    uint64_t seed;
    struct source sources[SETS][WAYS];
};

struct limits *limits_new(unsigned int per_minute)
{
    struct limits *limits = calloc(1, sizeof *limits);

    if (!limits)
        abort();
    limits->per_minute = per_minute;
    if (getrandom(&limits->seed, sizeof limits->seed, 0) != sizeof limits->seed)
        limits->seed = (uint64_t)time(NULL);
    return limits;
}

void limits_free(struct limits *limits)
{
    free(limits);
}

/* IPv4 as itself, IPv6 as its network; what is no address, such as a Unix socket, counts as one source. */
static uint64_t source_of(const char *text)
{
    struct in6_addr six;
    struct in_addr four;
    char address[INET6_ADDRSTRLEN] = "";
    uint64_t out;

    if (text)
        strncpy(address, text, sizeof address - 1);
    address[strcspn(address, "%")] = '\0';
    if (inet_pton(AF_INET, address, &four) == 1)
        return four.s_addr;
    if (inet_pton(AF_INET6, address, &six) != 1)
        return 0;
    if (IN6_IS_ADDR_V4MAPPED(&six)) {
        memcpy(&four, six.s6_addr + 12, sizeof four);
        return four.s_addr;
    }
    memcpy(&out, six.s6_addr, sizeof out);
    return out;
}

static struct source *set_of(struct limits *limits, uint64_t address)
{
    uint64_t hash = (address ^ limits->seed) * 0x9e3779b97f4a7c15u;

    return limits->sources[hash >> 54];
}

/* The place of `address`: its own, or else the one that is least worth keeping. */
static struct source *place_of(struct limits *limits, uint64_t address, uint32_t minute)
{
    struct source *set = set_of(limits, address), *least = set;

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].minute == minute && set[i].address == address)
            return &set[i];
        uint32_t guesses = set[i].minute == minute ? set[i].guesses : 0;
        if (guesses < (least->minute == minute ? least->guesses : 0))
            least = &set[i];
    }
    *least = (struct source){.address = address, .minute = minute};
    return least;
}

bool limits_exceeded(struct limits *limits, const char *address, time_t now)
{
    uint32_t minute = (uint32_t)(now / 60);
    uint64_t source = source_of(address);
    struct source *set = set_of(limits, source);

    for (size_t i = 0; limits->per_minute && i < WAYS; i++) {
        if (set[i].minute == minute && set[i].address == source)
            return set[i].guesses >= limits->per_minute;
    }
    return false;
}

void limits_count_guess(struct limits *limits, const char *address, time_t now)
{
    place_of(limits, source_of(address), (uint32_t)(now / 60))->guesses++;
}
