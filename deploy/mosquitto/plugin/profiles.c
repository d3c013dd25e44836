#include "profiles.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PROFILES 65536

struct profiles {
    pthread_mutex_t lock;
    char *words[MAX_PROFILES];
};

struct profiles *profiles_new(void)
{
    struct profiles *profiles = calloc(1, sizeof *profiles);

    if (!profiles)
        abort();
    pthread_mutex_init(&profiles->lock, NULL);
    return profiles;
}

void profiles_free(struct profiles *profiles)
{
    for (size_t i = 0; i < MAX_PROFILES; i++)
        free(profiles->words[i]);
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

bool profiles_put(struct profiles *profiles, uint16_t number, const char *words)
{
    char decoded[MAX_LINE];
    const char *rest = words;

    if (!next_word(&rest, decoded, sizeof decoded))
        return false;
    while (*rest) {
        if (!next_word(&rest, decoded, sizeof decoded) || !topic_pattern_is_valid(decoded, true))
            return false;
    }
    char *copy = strdup(words);
    if (!copy)
        abort();
    pthread_mutex_lock(&profiles->lock);
    free(profiles->words[number]);
    profiles->words[number] = copy;
    pthread_mutex_unlock(&profiles->lock);
    return true;
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
    bool allowed = allow_locked(profiles->words[number], names, topic);
    pthread_mutex_unlock(&profiles->lock);
    return allowed;
}

bool profiles_each(struct profiles *profiles, bool (*visit)(uint16_t number, const char *words, void *context), void *context)
{
    for (size_t i = 0; i < MAX_PROFILES; i++) {
        if (profiles->words[i] && !visit((uint16_t)i, profiles->words[i], context))
            return false;
    }
    return true;
}
