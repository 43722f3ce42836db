/*
 * checkpoint.h - moves what a store's write-ahead log holds into its file, beside the writer.
 *
 * A thread of its own copies and syncs the bulk, during which the writer goes on; what came
 * meanwhile the writer moves itself after one of its commits, which takes little time and lets the
 * log start over. One for each store. A driver without such a log has nothing to do here.
 */
#ifndef LOV_DB_CHECKPOINT_H
#define LOV_DB_CHECKPOINT_H

#include "db/db.h"

struct checkpoint;
/* `db` is the connection that writes the store; it is not closed. */
int checkpoint_start(struct db *db, struct checkpoint **out, struct err *err);
/* Before `db` is closed; NULL is fine. */
void checkpoint_stop(struct checkpoint *c);
/* After each commit, on the writer's thread. A failure is left to the next commit to meet. */
void checkpoint_after_commit(struct checkpoint *c);

#endif
