/* What the callbacks share. All of them run in the broker's one thread. */
#ifndef FIRSTLIGHT_PLUGIN_H
#define FIRSTLIGHT_PLUGIN_H

#include "admission.h"
#include "feed.h"
#include "limits.h"
#include "mosquitto_api.h"
#include "reports.h"

struct plugin {
    mosquitto_plugin_id_t *id;
    struct options options;
    struct digest_key key;
    struct guard guard;
    struct replica *replica;
    struct profiles *profiles;
    struct sessions *sessions;
    struct limits *limits;
    struct outbox *outbox;
    struct feed *feed;
    struct reports *reports;
    bool broker_frees_topics; /* that a callback replaced: from 2.0.15 on; before, the plugin must */
    unsigned long denied, limited, dropped;
    time_t summary;
};

/* MOSQ_EVT_ACL_CHECK and MOSQ_EVT_MESSAGE; `userdata` is the struct plugin. */
int on_acl_check(int event, void *event_data, void *userdata);
int on_message(int event, void *event_data, void *userdata);

/* Report to Firstlight that a device has used its credentials, unless that was done less than `interval_s` ago. */
void report_use(struct plugin *plugin, struct id device, unsigned int interval_s);

#endif
