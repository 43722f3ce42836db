/*
 * likeness.h - finds the same record again, and the same value with another consumer. Private to
 * the vault; the writer's thread.
 *
 * For each record the store keeps keyed hashes: of the whole with its consumer, and of each value
 * that the policy says identifies, spelled alike. They go with the record.
 */
#ifndef LOV_VAULT_LIKENESS_H
#define LOV_VAULT_LIKENESS_H

#include "vault/check.h"

/* Adds what is alike to the findings, and remembers the record. */
int likeness_check(const struct secret *key, struct db *lov, const struct parsed *p,
                   const struct record *r, struct str json, struct findings *out, struct err *err);
int likeness_forget(struct db *lov, const struct record *r, struct err *err);

#endif
