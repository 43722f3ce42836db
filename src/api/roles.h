/*
 * roles.h - who may what: permissions, and the roles that have them (the table of roles.c, which
 * docs/api.md shows). A route names the permission that it takes; API and console ask the same
 * table.
 */
#ifndef LOV_API_ROLES_H
#define LOV_API_ROLES_H

#include <stdint.h>

#include "base/str.h"

/* More than an int holds. */
__extension__ enum permission {
    MAY_WRITE_CONSENTS = 1 << 0,
    MAY_READ_CONSENTS = 1 << 1, /* a recipient: its own */
    MAY_READ_EVIDENCE = 1 << 2, /* what is sealed under the consumer's key */
    MAY_WRITE_CONSUMERS = 1 << 3,
    MAY_READ_CONSUMERS = 1 << 4,
    MAY_READ_HISTORY = 1 << 5,
    MAY_ERASE = 1 << 6,
    MAY_READ_EVENTS = 1 << 7, /* a recipient: of its own activities */
    MAY_DECIDE = 1 << 8,      /* a recipient: for itself */
    MAY_REPORT_USES = 1 << 9, /* a recipient: its own */
    MAY_READ_POLICY = 1 << 10,
    MAY_READ_NOTICES = 1 << 11,
    MAY_WRITE_POLICY = 1 << 12,
    MAY_MANAGE_KEYS = 1 << 13,
    MAY_OPERATE = 1 << 14,      /* keep the stores: change the key-encryption key */
    MAY_READ_ENTRIES = 1 << 15, /* the log's entries as they are */
    MAY_WRITE_RECORDS = 1 << 16,
    MAY_READ_RECORDS = 1 << 17, /* for a purpose; a recipient: for itself */
    MAY_READ_RETENTION = 1 << 18,
    MAY_WRITE_REQUESTS = 1 << 19,
    MAY_READ_REQUESTS = 1 << 20,
    MAY_WRITE_HOLDS = 1 << 21,
    MAY_BE_TOLD = 1 << 22, /* notifications; a recipient: its own */
    MAY_OPEN_REQUESTS = 1 << 23,
    MAY_EXPORT = 1 << 24, /* all there is of one consumer, at their request */
    MAY_MANAGE_STAFF = 1 << 25,
    MAY_USE_CONSOLE = 1 << 26,
    MAY_READ_PROPOSALS = 1 << 27,      /* of policies, and of reads of many */
    MAY_READ_FOR_DEPARTMENT = 1 << 28, /* at the console, for one's own departments */
    MAY_MANAGE_WEBHOOKS = 1 << 29,
    MAY_APPROVE_READS = 1 << 30,    /* of many, that another member of staff proposes */
    MAY_PROPOSE_POLICY = 1LL << 31, /* for somebody else to approve, and see what became of it */
};

/* The name as the table spells it, NULL when there is no such role; "-" is read as "_". */
const char *role_find(struct str name, uint64_t *permissions);
/* The n-th role, NULL at the end. */
const char *role_at(size_t n, uint64_t *permissions);

#endif
