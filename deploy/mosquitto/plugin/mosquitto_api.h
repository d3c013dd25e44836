/* Mosquitto's own headers, whose names changed in 2.1. This library exports only the functions that the broker looks up. */
#ifndef FIRSTLIGHT_MOSQUITTO_API_H
#define FIRSTLIGHT_MOSQUITTO_API_H

#pragma GCC visibility push(default)
#include <mosquitto.h>
#if LIBMOSQUITTO_VERSION_NUMBER < 2001000
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#endif
#pragma GCC visibility pop

#endif
