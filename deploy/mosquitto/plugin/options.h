/* The plugin_opt_... lines of mosquitto.conf, checked. */
#ifndef FIRSTLIGHT_OPTIONS_H
#define FIRSTLIGHT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct mosquitto_opt;

struct options {
    char *url;         /* of Firstlight, without a final slash */
    char *broker;      /* its id in Firstlight */
    char *secret;      /* never in a log */
    char *file;        /* where the replica is stored; empty: nowhere */
    char *ca_file;     /* for https; empty: the system's */
    char *from_device; /* pattern of the topic below which a device's messages come out */
    char *to_device;   /* pattern of the topic below which the operator writes to a device */
    unsigned int guesses_per_minute;
    bool other_users; /* clients that Firstlight does not know are left to password_file and other plugins */
};

/* Returns false with a sentence in `error` when an option is missing, unknown or unusable. */
bool options_read(struct options *options, const struct mosquitto_opt *given, int count, char *error, size_t size);
void options_clear(struct options *options);

#endif
