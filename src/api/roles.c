/* roles.c - the one table of who may what; docs/api.md shows it to users. A recipient's key is a
 * role of its own: the same calls, cut down by each handler to what concerns that recipient. */
#include <string.h>

#include "api/private.h"

enum {
    ALL_READ = MAY_READ_CONSENTS | MAY_READ_CONSUMERS | MAY_READ_HISTORY | MAY_READ_EVENTS |
               MAY_READ_EVIDENCE | MAY_READ_POLICY | MAY_READ_NOTICES | MAY_READ_ENTRIES |
               MAY_READ_RETENTION | MAY_READ_REQUESTS | MAY_READ_PROPOSALS,
    RULES_READ = MAY_READ_POLICY | MAY_READ_NOTICES,
    PERSON = RULES_READ | MAY_DECIDE | MAY_USE_CONSOLE,
    OFFICER = ALL_READ | MAY_WRITE_CONSENTS | MAY_WRITE_CONSUMERS | MAY_ERASE | MAY_DECIDE |
              MAY_REPORT_USES | MAY_WRITE_POLICY | MAY_WRITE_RECORDS | MAY_READ_RECORDS |
              MAY_OPEN_REQUESTS | MAY_WRITE_REQUESTS | MAY_WRITE_HOLDS | MAY_BE_TOLD | MAY_EXPORT |
              MAY_USE_CONSOLE | MAY_READ_FOR_DEPARTMENT | MAY_APPROVE_READS,
    OPERATOR = OFFICER | MAY_MANAGE_KEYS | MAY_OPERATE | MAY_MANAGE_STAFF | MAY_MANAGE_WEBHOOKS,
};

static const struct role {
    const char *name;
    uint64_t permissions;
} roles[] = {
    {"admin", OPERATOR},
    {"privacy_officer", OFFICER},
    {"analyst", PERSON},
    {"support", PERSON | MAY_READ_FOR_DEPARTMENT | MAY_WRITE_CONSENTS | MAY_READ_CONSENTS |
                    MAY_WRITE_CONSUMERS | MAY_READ_CONSUMERS | MAY_READ_HISTORY |
                    MAY_WRITE_RECORDS | MAY_OPEN_REQUESTS | MAY_WRITE_REQUESTS | MAY_READ_REQUESTS},
    {"marketing", PERSON},
    {"auditor", ALL_READ | PERSON},
    {"collector", MAY_WRITE_CONSENTS | MAY_READ_CONSENTS | MAY_READ_NOTICES | MAY_WRITE_RECORDS |
                      MAY_OPEN_REQUESTS},
    {"deployer", RULES_READ | MAY_PROPOSE_POLICY},
};

enum { ROLE_NAME_MAX = 32 };

const char *role_find(struct str name, uint64_t *permissions)
{
    char text[ROLE_NAME_MAX];
    if (name.n >= sizeof text)
        return NULL;
    for (size_t i = 0; i < name.n; i++)
        text[i] = name.p[i] == '-' ? '_' : name.p[i];
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (str_is((struct str){text, name.n}, roles[i].name)) {
            *permissions = roles[i].permissions;
            return roles[i].name;
        }
    }
    return NULL;
}

const char *role_at(size_t n, uint64_t *permissions)
{
    if (n >= sizeof roles / sizeof *roles)
        return NULL;
    *permissions = roles[n].permissions;
    return roles[n].name;
}

uint64_t recipient_permissions(void)
{
    return RULES_READ | MAY_DECIDE | MAY_REPORT_USES | MAY_READ_CONSENTS | MAY_READ_EVENTS |
           MAY_WRITE_RECORDS | MAY_READ_RECORDS | MAY_BE_TOLD;
}

const struct principal *operator_principal(void)
{
    static const struct principal local = {
        .permissions = OPERATOR,
        .actor = {"local", 5},
        .hash = 1,
    };
    return &local;
}

const struct principal *anybody_principal(void)
{
    static const struct principal anybody = {
        .permissions = MAY_READ_ENTRIES,
        .actor = {"anybody", 7},
        .hash = 2,
    };
    return &anybody;
}
