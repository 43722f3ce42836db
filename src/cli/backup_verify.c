/* backup_verify.c - is a copy what it should be? */
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "cli/backup.h"
#include "rights/rights.h"
#include "vault/vault.h"

static int check_file(const char *path, struct err *err)
{
    struct db_report report;
    int rc = db_check(path, &report, err);
    if (rc == 0 && report.wrong)
        rc = err_set(err, LOV_ECORRUPT, "%s is damaged: %s", path, report.what);
    return rc;
}

static int verify_shard(struct db *db, const char *path, uint32_t shard, struct jw *w,
                        int64_t *events, struct err *err)
{
    struct ledger_report ledger;
    struct state_report state = {0};
    int rc = ledger_verify(db, shard, NULL, NULL, &ledger, err);
    if (rc == 0 && ledger.wrong_seq >= 0)
        return err_set(err, LOV_ECORRUPT, "%s: event %lld is wrong: %s", path,
                       (long long)ledger.wrong_seq, ledger.wrong);
    if (rc == 0)
        rc = state_verify(db, shard, &state, err);
    if (rc == 0 && !state.wrong)
        rc = vault_verify(db, shard, &state, err);
    if (rc == 0 && !state.wrong)
        rc = rights_verify(db, shard, &state, err);
    if (rc == 0 && !state.wrong && shard == 0)
        rc = people_verify(db, NULL, &state, err); /* the other store is copied at another moment */
    if (rc == 0 && state.wrong)
        return err_set(err, LOV_ECORRUPT, "%s: the state is not what event %lld says: %s", path,
                       (long long)state.seq, state.what);
    if (rc)
        return rc;
    *events += ledger.events;
    jw_object_start(w);
    jw_int_member(w, "shard", shard);
    jw_int_member(w, "events", ledger.events);
    jw_key(w, "root");
    jw_hex(w, ledger.root.b, sizeof ledger.root.b);
    jw_object_end(w);
    return 0;
}

int backup_verify_lov(const char *path, struct buf *shards, int64_t *events, struct err *err)
{
    struct db *db = NULL;
    _cleanup_buf struct buf list = {0};
    struct jw w = {.out = shards};
    *events = 0;
    int rc = check_file(path, err);
    if (rc == 0)
        rc = db_open(path, DB_READ, &db, err);
    if (rc == 0)
        rc = ledger_check_store(db, err);
    if (rc == 0)
        rc = ledger_shards(db, &list, err);
    jw_array_start(&w);
    for (size_t i = 0; rc == 0 && i < list.n / sizeof(uint32_t); i++) {
        uint32_t shard;
        memcpy(&shard, list.p + i * sizeof shard, sizeof shard);
        rc = verify_shard(db, path, shard, &w, events, err);
    }
    jw_array_end(&w);
    db_close(db);
    return rc;
}

static int count_consumers(struct db *db, int64_t *out, struct err *err)
{
    static const char sql[] = "select count(*) from consumer";
    struct db_stmt *s = db_use(db, sql);
    return db_number(s, out, err);
}

int backup_verify_identity(const char *path, const struct identity_keys *keys, int64_t *consumers,
                           struct err *err)
{
    struct db *db = NULL;
    struct identity *who = NULL;
    struct identity_report report = {.wrong_number = -1};
    int rc = check_file(path, err);
    if (rc == 0)
        rc = db_open(path, DB_READ, &db, err);
    if (rc == 0)
        rc = count_consumers(db, consumers, err);
    if (rc == 0 && keys)
        rc = identity_open_read(db, keys, 1, &who, err);
    if (rc == 0 && keys)
        rc = identity_verify(who, db, &report, err);
    if (rc == 0 && report.wrong_number >= 0)
        rc = err_set(err, LOV_ECORRUPT, "%s: identity %lld is wrong: %s", path,
                     (long long)report.wrong_number, report.what);
    identity_close(who);
    db_close(db);
    return rc;
}

void backup_clear_parts(const char *dir)
{
    DIR *folder = opendir(dir);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (!strstr(entry->d_name, ".part"))
            continue;
        _cleanup_buf struct buf path = {0};
        buf_printf(&path, "%s/%s", dir, entry->d_name);
        unlink(path.p);
    }
    closedir(folder);
}
