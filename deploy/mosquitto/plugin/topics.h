/* Which topic means what, on the device's side and on the operator's side. No broker, no state: text in, text out. */
#ifndef FIRSTLIGHT_TOPICS_H
#define FIRSTLIGHT_TOPICS_H

#include "lines.h"

#define MAX_TOPIC 8192 /* longer topics are refused; MQTT allows 65,535 bytes, no device of ours uses them */
#define PROVISION_REQUEST "/provision/request"
#define PROVISION_RESPONSE "/provision/response"

/* What a topic pattern can name. Each value is escaped to be one level of a topic. */
struct topic_names {
    const char *device_id, *device_name, *client_id, *profile;
};

/* Write `text` so that it is one level of a topic, with nothing that MQTT gives a meaning to. */
bool topic_level(const char *text, char *out, size_t size);
/* Fill the placeholders {id}, {name}, {device_id}, {device_name}, {client_id}, {profile} of a pattern. */
bool topic_fill(const char *pattern, const struct topic_names *names, char *out, size_t size);
/* Returns whether `pattern` can be used: not empty, no wildcards but a final "#" when `wildcard`, known placeholders only. */
bool topic_pattern_is_valid(const char *pattern, bool wildcard);
/* Replace every placeholder by "+": the filter for the topics of all devices. */
bool topic_filter_for_all(const char *pattern, char *out, size_t size);

/* Map a device's topic below the operator's `base` for this device: v1/devices/me/x to base/x, v2/x to base/v2/x,
   v1/gateway/x (gateways only) to base/gateway/x. Returns false when it is no topic of the device API. */
bool topic_from_device(const char *topic, const char *base, bool gateway, char *out, size_t size);
/* The way back: what follows `base/` to a topic of the device API. */
bool topic_to_device(const char *rest, bool gateway, char *out, size_t size);
/* Returns whether a device may subscribe to `filter`: below the device API, for a gateway below v1/gateway too. */
bool topic_device_may_subscribe(const char *filter, bool gateway);
/* Returns whether a topic belongs to the device API, where no other client may publish. */
bool topic_is_reserved(const char *topic);

/* Returns whether `filter` matches `topic` (MQTT 3.1.1 section 4.7). */
bool topic_matches(const char *filter, const char *topic);
/* Returns whether everything that `narrow`, a filter, matches is matched by `wide`, a filter, too. */
bool topic_covers(const char *wide, const char *narrow);
/* Returns whether `topic` is `base` or lies below it. */
bool topic_is_at_or_below(const char *topic, const char *base);
/* Returns the length of the first `levels` levels of a topic, 0 when it has no more than those. */
size_t topic_prefix(const char *topic, size_t levels);
size_t topic_levels(const char *topic);

#endif
