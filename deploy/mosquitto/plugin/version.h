/* Which Mosquitto has loaded the plugin. */
#ifndef FIRSTLIGHT_VERSION_H
#define FIRSTLIGHT_VERSION_H

/* Returns the version as MAJOR * 1000000 + MINOR * 1000 + REVISION, by asking the broker's program; that of the headers when it does
   not say. */
int broker_version(void);

#endif
