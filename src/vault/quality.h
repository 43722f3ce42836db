/*
 * quality.h - records are looked at as they come in: range, rules, what is usual, the same again.
 * Private to the vault; the writer's thread.
 */
#ifndef LOV_VAULT_QUALITY_H
#define LOV_VAULT_QUALITY_H

#include "vault/private.h"

/* Looks at a record that this write has put, or corrected (`again`: what was asked before is
 * settled by it), and asks about what looks wrong. `key`: the consumer's. */
int quality_check(struct vault *v, struct write_scope *scope, const struct secret *key,
                  const struct policy_category *category, const struct record *r,
                  const struct vault_content *content, bool again, struct err *err);
/* Of a record that this write deletes. */
int quality_forget(struct write_scope *scope, const struct record *r, struct err *err);

#endif
