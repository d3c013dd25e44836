/* The thread that reports to Firstlight which devices have used their credentials: first use ends the time in which a provisioning
   reply may be repeated. */
#ifndef FIRSTLIGHT_REPORTS_H
#define FIRSTLIGHT_REPORTS_H

#include "digest.h"
#include "options.h"
#include "outbox.h"

struct reports;

struct reports *reports_start(const struct options *options, struct outbox *outbox);
/* Send what is left, for two seconds at most, and end. */
void reports_stop(struct reports *reports);
/* Returns false when so many wait that no more are taken. */
bool reports_have_room(struct reports *reports);
void reports_add(struct reports *reports, struct id device);

#endif
