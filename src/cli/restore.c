/* restore.c - lov restore. Everything is copied under other names and verified there; the last step
 * gives lov.db its name, and a folder without one holds no installation. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/backup.h"

struct restore {
    const char *dir, *from;
    struct buf name; /* "lov-20261123T210000120Z" */
    struct progress progress;
    int64_t made_at, events, consumers;
    bool identities; /* those of the backup, since there are none here */
    int lock_fd;
};

static void path_of(const char *dir, const char *name, const char *end, struct buf *out)
{
    buf_clear(out);
    buf_printf(out, "%s/%s%s", dir, name, end);
}

/* ---- which one ---- */

/* The newest name with a manifest; names are in the order of time. */
static int find_newest(struct restore *r, struct err *err)
{
    DIR *folder = opendir(r->from);
    if (!folder)
        return err_reason(err, LOV_EUNAVAILABLE, "not_found", "cannot open %s: %s", r->from,
                          strerror(errno));
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        struct str name = str_of(entry->d_name), end = STR(".json");
        if (!str_starts(name, STR("lov-")) || !str_ends(name, end))
            continue;
        name.n -= end.n;
        if (str_cmp(name, buf_view(&r->name)) > 0) {
            buf_clear(&r->name);
            buf_str(&r->name, name);
        }
    }
    closedir(folder);
    return r->name.n ? 0
                     : err_reason(err, LOV_ENOTFOUND, "no_backup", "%s holds no complete backup",
                                  r->from);
}

static int find_named(struct restore *r, const char *stamp, struct err *err)
{
    _cleanup_buf struct buf path = {0};
    for (const char *p = stamp; *p; p++)
        if (*p == '/')
            return err_reason(err, LOV_EINVAL, "usage", "--at is the TIME in lov-TIME.db");
    buf_printf(&r->name, "lov-%s", stamp);
    path_of(r->from, r->name.p, ".json", &path);
    if (file_exists(path.p))
        return 0;
    return err_reason(err, LOV_ENOTFOUND, "no_backup",
                      "%s holds no complete backup of that time: there is no %s.json", r->from,
                      r->name.p);
}

struct manifest {
    int64_t version, made_at, events;
    json_t *shards;
};
static const struct json_field manifest_fields[] = {
    {"version", JSON_K_INT, offsetof(struct manifest, version), true, 1, 1},
    {"made_at", JSON_K_TIME, offsetof(struct manifest, made_at), true, 0, 0},
    {"events", JSON_K_INT, offsetof(struct manifest, events), true, 0, 0},
    {"shards", JSON_K_ARRAY, offsetof(struct manifest, shards), true, 0, BACKUP_SHARDS},
};

/* *shards is the canonical text of the member of that name. */
static int read_manifest(struct restore *r, struct buf *shards, struct err *err)
{
    _cleanup_buf struct buf path = {0}, text = {0};
    _cleanup_json json_t *json = NULL;
    _cleanup_arena struct arena arena = {0};
    struct manifest m = {0};
    path_of(r->from, r->name.p, ".json", &path);
    int rc = file_read(path.p, MANIFEST_MAX, &text, err);
    if (rc)
        return rc;
    rc = json_read(buf_view(&text), &json, err);
    if (rc == 0)
        rc = json_take(json, manifest_fields, sizeof manifest_fields / sizeof *manifest_fields,
                       JSON_REFUSE_UNKNOWN, "", &arena, &m, err);
    if (rc)
        return err_reason(err, LOV_ECORRUPT, "damaged", "%s is damaged", path.p);
    r->made_at = m.made_at;
    json_canonical(m.shards, shards);
    return 0;
}

/* ---- copying ---- */

static int copy_bytes(struct restore *r, int from, int to)
{
    char chunk[1 << 16];
    struct stat st;
    int64_t done = 0;
    if (fstat(from, &st) != 0)
        return -1;
    for (;;) {
        ssize_t n = read(from, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? fsync(to) : -1;
        for (ssize_t at = 0; at < n;) {
            ssize_t written = write(to, chunk + at, (size_t)(n - at));
            if (written < 0 && errno != EINTR)
                return -1;
            at += written > 0 ? written : 0;
        }
        done += n;
        progress_show(&r->progress, st.st_size ? (double)done / (double)st.st_size : -1, done);
    }
}

static int copy_file(struct restore *r, const char *from, const char *to, struct err *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return err_set(err, LOV_EIO, "cannot open %s: %s", from, strerror(errno));
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc = out < 0 ? err_set(err, LOV_EIO, "cannot create %s: %s", to, strerror(errno)) : 0;
    if (rc == 0 && copy_bytes(r, in, out) != 0)
        rc = err_set(err, LOV_EIO, "cannot copy %s to %s: %s", from, to, strerror(errno));
    if (out >= 0 && close(out) != 0 && rc == 0)
        rc = err_set(err, LOV_EIO, "cannot write %s: %s", to, strerror(errno));
    close(in);
    return rc;
}

static int copy_lov(struct restore *r, struct err *err)
{
    _cleanup_buf struct buf from = {0}, part = {0}, expected = {0}, found = {0}, canonical = {0};
    _cleanup_json json_t *json = NULL;
    int rc = read_manifest(r, &expected, err);
    path_of(r->from, r->name.p, ".db", &from);
    path_of(r->dir, "lov.db", ".part", &part);
    if (rc == 0)
        rc = copy_file(r, from.p, part.p, err);
    if (rc == 0)
        rc = engine_update_copy(part.p, err);
    if (rc == 0)
        rc = backup_verify_lov(part.p, &found, &r->events, err);
    if (rc == 0)
        rc = json_read(buf_view(&found), &json, err);
    if (rc)
        return rc;
    json_canonical(json, &canonical);
    if (!str_eq(buf_view(&canonical), buf_view(&expected)))
        return err_reason(err, LOV_ECORRUPT, "damaged",
                          "%s.db is not the copy that %s.json tells of", r->name.p, r->name.p);
    return 0;
}

/* The current identities, where there are any, stay: they know who was erased since. */
static int copy_identities(struct restore *r, const struct identity_keys *keys, struct err *err)
{
    _cleanup_buf struct buf here = {0}, from = {0}, part = {0};
    path_of(r->dir, "identity.db", "", &here);
    path_of(r->dir, "identity.db", ".part", &part);
    path_of(r->from, "identity.db", "", &from);
    r->identities = !file_exists(here.p);
    if (!r->identities)
        return backup_verify_identity(here.p, keys, &r->consumers, err);
    int rc = copy_file(r, from.p, part.p, err);
    return rc ? rc : backup_verify_identity(part.p, keys, &r->consumers, err);
}

static int give_names(struct restore *r, struct err *err)
{
    static const char *const names[] = {"identity.db", "lov.db"};
    int rc = engine_note_restore(r->dir, r->made_at, err);
    for (int i = r->identities ? 0 : 1; rc == 0 && i < 2; i++) {
        _cleanup_buf struct buf part = {0}, to = {0};
        path_of(r->dir, names[i], ".part", &part);
        path_of(r->dir, names[i], "", &to);
        if (rename(part.p, to.p) != 0)
            rc = err_set(err, LOV_EIO, "cannot rename %s: %s", part.p, strerror(errno));
        if (rc == 0)
            rc = dir_sync(r->dir, err);
    }
    return rc;
}

/* ---- the folder ---- */

static int take_key(struct restore *r, const char *file, struct err *err)
{
    _cleanup_buf struct buf here = {0}, text = {0};
    path_of(r->dir, "key", "", &here);
    if (!file)
        return 0;
    if (file_exists(here.p))
        return err_reason(err, LOV_ECONFLICT, "exists", "%s is there already: leave out --key",
                          here.p);
    int rc = file_read(file, 256, &text, err);
    if (rc == 0)
        rc = file_create(here.p, 0600, buf_view(&text), err);
    if (text.p)
        memset(text.p, 0, text.n);
    return rc;
}

static int take_folder(struct restore *r, struct err *err)
{
    _cleanup_buf struct buf store = {0};
    path_of(r->dir, "lov.db", "", &store);
    if (file_exists(store.p))
        return err_reason(
            err, LOV_ECONFLICT, "exists",
            "%s is there: lov restore overwrites nothing; move it away, with its -wal, "
            "-shm and -events, or restore to another folder",
            store.p);
    int rc = dir_create(r->dir, 0700, err);
    if (rc == 0)
        rc = file_check_private(r->dir, err);
    if (rc)
        return rc;
    rc = engine_lock(r->dir, &r->lock_fd, err);
    if (rc)
        return rc;
    /* A log of pages or events that belongs to another file would be applied to this one. */
    static const char *const leftovers[] = {"lov.db-wal", "lov.db-shm", "lov.db-events"};
    for (size_t i = 0; i < sizeof leftovers / sizeof *leftovers; i++) {
        struct stat st;
        path_of(r->dir, leftovers[i], "", &store);
        if (stat(store.p, &st) == 0 && st.st_size > 0)
            return err_reason(err, LOV_ECONFLICT, "exists",
                              "%s is left of another lov.db: move it away first", store.p);
    }
    backup_clear_parts(r->dir);
    return 0;
}

static int restore(struct restore *r, const char *key, struct err *err)
{
    _cleanup_keys struct identity_keys keys = {0};
    int rc = take_folder(r, err);
    if (rc)
        return rc;
    rc = take_key(r, key, err);
    if (rc == 0)
        rc = identity_load_keys(r->dir, &keys, err);
    if (rc == LOV_ENOTFOUND)
        rc = err_reason(err, LOV_EUNAVAILABLE, "no_key",
                        "a backup does not hold the key: say --key FILE, or set LOV_KEY");
    if (rc == 0)
        rc = copy_lov(r, err);
    if (rc == 0)
        rc = copy_identities(r, &keys, err);
    if (rc == 0)
        rc = give_names(r, err);
    if (rc)
        backup_clear_parts(r->dir);
    return rc;
}

/* ---- the command ---- */

static void print_restored(const struct cli *c, const struct restore *r)
{
    _cleanup_buf struct buf out = {0};
    if (!c->json) {
        time_format(r->made_at, &out);
        printf("restored the backup of %s: %lld events; %s, %lld consumers\n", out.p,
               (long long)r->events,
               r->identities ? "identities of the backup" : "the current identities",
               (long long)r->consumers);
        return;
    }
    struct jw w = {.out = &out};
    jw_object_start(&w);
    jw_time_member(&w, "made_at", r->made_at);
    jw_int_member(&w, "events", r->events);
    jw_int_member(&w, "consumers", r->consumers);
    jw_bool_member(&w, "identities_from_backup", r->identities);
    jw_object_end(&w);
    puts(out.p);
}

/* Opening brings the two stores together (engine_note_restore). */
static int open_once(struct cli *c, const struct restore *r, struct err *err)
{
    struct engine *e = NULL;
    int rc = cli_open_engine(c, r->dir, &e, err);
    engine_close(e);
    return rc;
}

/* Restores a backup. */
static int run_restore(struct cli *c)
{
    struct err err = {0};
    struct restore r = {.from = c->args[0], .lock_fd = -1};
    const char *at = cli_value(c, "at");
    int rc = cli_dir(c, &r.dir, &err);
    if (rc == 0)
        rc = at ? find_named(&r, at, &err) : find_newest(&r, &err);
    if (rc == 0) {
        progress_start(&r.progress, "bytes");
        rc = restore(&r, cli_value(c, "key"), &err);
        progress_end(&r.progress);
    }
    engine_unlock(r.lock_fd);
    if (rc == 0)
        rc = open_once(c, &r, &err);
    int code = rc ? cli_fail(c, &err) : CLI_YES;
    if (rc == 0)
        print_restored(c, &r);
    buf_free(&r.name);
    return code;
}

static const struct cli_option options[] = {
    {"at", "TIME", "the copy lov-TIME.db; the newest when not given", NULL, false},
    {"key", "FILE", "the file with the key, which a backup does not hold", NULL, false},
};
const struct cli_command cmd_restore = {
    .name = "restore",
    .arguments = "FOLDER",
    .least = 1,
    .most = 1,
    .summary = "restore a backup to a folder without an installation",
    .text =
        "Copies from the backup in FOLDER, verifies every page, hash and row, and gives the store\n"
        "its name only then. Nothing is overwritten: where DIR has a lov.db it refuses. Where DIR\n"
        "has identities they stay, and whoever was erased since the backup stays erased; otherwise\n"
        "the backup's are taken. The ledger records that it was restored, and from when. What was\n"
        "said after the backup, withdrawals too, is lost: docs/backup.md tells what to do.",
    CLI_OPTIONS(options),
    .run = run_restore,
};
