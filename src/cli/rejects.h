/*
 * rejects.h - where the rows that an import refused are written: CSV, or JSON Lines when the file's
 * name ends in .jsonl. Without a file the first ten are told on stderr.
 */
#ifndef LOV_CLI_REJECTS_H
#define LOV_CLI_REJECTS_H

#include "cli/cli.h"

struct rejects;
/* `path` may be NULL. What the file holds beyond `keep` bytes is cut off. */
int rejects_open(const char *path, int64_t keep, struct rejects **out, struct err *err);
void rejects_close(struct rejects *r);
void rejects_add(struct rejects *r, int64_t row, int64_t line, const char *reason,
                 const char *detail);
/* Durable; *bytes is the length of the file. */
int rejects_sync(struct rejects *r, int64_t *bytes, struct err *err);

#endif
