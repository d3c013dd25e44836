#include "profiles.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PROFILES 65536

struct profile {
    struct id id;
    char *words;
};

struct profiles {
    pthread_mutex_t lock;
    size_t count; /* with the number 0, which is no profile */
    struct profile list[MAX_PROFILES];
};

struct profiles *profiles_new(void)
{
    struct profiles *profiles = calloc(1, sizeof *profiles);

    if (!profiles)
        abort();
    pthread_mutex_init(&profiles->lock, NULL);
    profiles->count = 1;
    return profiles;
}

void profiles_free(struct profiles *profiles)
{
    for (size_t i = 0; i < profiles->count; i++)
        free(profiles->list[i].words);
    pthread_mutex_destroy(&profiles->lock);
    free(profiles);
}

/* Decode the next word of `*words` and move behind it. */
static bool next_word(const char **words, char *out, size_t size)
{
    size_t length = strcspn(*words, " ");
    bool good = length && percent_decode(*words, length, out, size);

    *words += length;
    *words += strspn(*words, " ");
    return good;
}

/* Return a copy of the words without the patterns that cannot be used. */
static char *usable_words(const char *words, unsigned int *unusable)
{
    char decoded[MAX_LINE];
    size_t used = strcspn(words, " ");
    const char *rest = words + used + strspn(words + used, " ");
    char *copy = malloc(strlen(words) + 1);

    if (!copy)
        abort();
    memcpy(copy, words, used);
    while (*rest) {
        const char *word = rest;
        bool good = next_word(&rest, decoded, sizeof decoded) && topic_pattern_is_valid(decoded, true);
        size_t length = strcspn(word, " ");
        if (!good) {
            ++*unusable;
            continue;
        }
        copy[used++] = ' ';
        memcpy(copy + used, word, length);
        used += length;
    }
    copy[used] = '\0';
    return copy;
}

uint16_t profiles_put(struct profiles *profiles, struct id id, const char *words, unsigned int *unusable)
{
    size_t number = 1;

    *unusable = 0;
    while (number < profiles->count && !same_id(&profiles->list[number].id, &id))
        number++;
    if (number == MAX_PROFILES)
        return 0;
    char *copy = usable_words(words, unusable);
    pthread_mutex_lock(&profiles->lock);
    free(profiles->list[number].words);
    profiles->list[number] = (struct profile){id, copy};
    if (number == profiles->count)
        profiles->count++;
    pthread_mutex_unlock(&profiles->lock);
    return (uint16_t)number;
}

static bool allow_locked(const char *words, struct topic_names names, const char *topic)
{
    char profile[MAX_LINE], pattern[MAX_LINE], filter[MAX_TOPIC];

    if (!words || !next_word(&words, profile, sizeof profile))
        return false;
    names.profile = profile;
    while (*words) {
        if (!next_word(&words, pattern, sizeof pattern))
            return false;
        if (topic_fill(pattern, &names, filter, sizeof filter) && topic_covers(filter, topic))
            return true;
    }
    return false;
}

bool profiles_allow(struct profiles *profiles, uint16_t number, struct topic_names names, const char *topic)
{
    pthread_mutex_lock(&profiles->lock);
    bool allowed = allow_locked(profiles->list[number].words, names, topic);
    pthread_mutex_unlock(&profiles->lock);
    return allowed;
}

bool profiles_format(const struct profiles *profiles, uint16_t number, char *out, size_t size)
{
    char id[ID_HEX + 1];

    if (!number || number >= profiles->count)
        return false;
    id_to_hex(&profiles->list[number].id, id);
    return (size_t)snprintf(out, size, "p %u %s %s", (unsigned int)number, id, profiles->list[number].words) < size;
}
