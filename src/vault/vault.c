/* vault.c - opening and closing. */
#include <stdlib.h>

#include "vault/private.h"
#include "vault/stats.h"

static int load(struct vault *v, struct err *err)
{
    struct db *lov;
    int rc = db_pool_get(engine_lov(v->engine), &lov, err);
    if (rc)
        return rc;
    rc = stats_open(lov, &v->stats, err);
    db_pool_put(engine_lov(v->engine), lov);
    return rc;
}

int vault_open(struct engine *e, struct vault **out, struct err *err)
{
    struct vault *v = mem_zero(sizeof *v);
    v->engine = e;
    v->pseudonyms = identity_secret(engine_identity(e), "pseudonyms");
    v->likeness = identity_secret(engine_identity(e), "likeness");
    int rc = load(v, err);
    if (rc)
        vault_close(v);
    else
        *out = v;
    return rc;
}

void vault_close(struct vault *v)
{
    if (!v)
        return;
    stats_close(v->stats);
    secret_wipe(&v->pseudonyms);
    secret_wipe(&v->likeness);
    free(v);
}
