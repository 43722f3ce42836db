/* backup.c - lov backup. Reads the stores beside whoever has them open, and so works the same with
 * a server and without one. The lov store is copied first: every consumer that it speaks of is then
 * in the copy of the identities, or was erased meanwhile. */
#include "cli/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

struct backup {
    const char *dir, *to;
    struct progress progress;
    char stamp[32];
    int64_t made_at, events, consumers;
    bool opened; /* each identity was opened with the key */
    struct buf lov;
};

static void path_of(const char *dir, const char *name, const char *end, struct buf *out)
{
    buf_clear(out);
    buf_printf(out, "%s/%s%s", dir, name, end);
}

static void show_pages(void *ctx, int64_t done, int64_t all)
{
    struct backup *b = ctx;
    progress_show(&b->progress, all ? (double)done / (double)all : -1, done);
}

/* "20261123T210000120Z": names in the order of time. */
static void stamp(struct backup *b)
{
    _cleanup_buf struct buf text = {0};
    size_t n = 0;
    b->made_at = clock_now();
    if (b->made_at % 1000 == 0) /* so that all have milliseconds */
        b->made_at++;
    time_format(b->made_at, &text);
    for (size_t i = 0; i < text.n && n + 1 < sizeof b->stamp; i++)
        if (text.p[i] != '-' && text.p[i] != ':' && text.p[i] != '.')
            b->stamp[n++] = text.p[i];
    b->stamp[n] = '\0';
}

static int move_file(const char *from, const char *to, struct err *err)
{
    if (rename(from, to) == 0)
        return 0;
    return err_set(err, LOV_EIO, "cannot rename %s to %s: %s", from, to, strerror(errno));
}

/* ---- lov ---- */

static void write_manifest(const struct backup *b, struct str shards, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_int_member(&w, "version", 1);
    jw_time_member(&w, "made_at", b->made_at);
    jw_int_member(&w, "events", b->events);
    jw_key(&w, "shards");
    jw_raw(&w, shards);
    jw_object_end(&w);
    buf_char(out, '\n');
}

static int copy_lov(struct backup *b, struct err *err)
{
    _cleanup_buf struct buf from = {0}, part = {0}, to = {0}, shards = {0}, manifest = {0};
    _cleanup_buf struct buf manifest_part = {0}, manifest_to = {0};
    path_of(b->dir, "lov.db", "", &from);
    buf_printf(&b->lov, "%s/lov-%s", b->to, b->stamp);
    buf_printf(&to, "%s.db", b->lov.p);
    buf_printf(&part, "%s.part", to.p);
    buf_printf(&manifest_to, "%s.json", b->lov.p);
    buf_printf(&manifest_part, "%s.part", manifest_to.p);
    int rc = engine_settle(b->dir, err);
    if (rc == 0)
        rc = db_copy(from.p, part.p, show_pages, b, err);
    if (rc == 0)
        rc = backup_verify_lov(part.p, &shards, &b->events, err);
    if (rc == 0) {
        write_manifest(b, buf_view(&shards), &manifest);
        rc = file_create(manifest_part.p, 0600, buf_view(&manifest), err);
    }
    if (rc == 0)
        rc = move_file(part.p, to.p, err);
    /* The copy's name is durable before the one that vouches for it. */
    if (rc == 0)
        rc = dir_sync(b->to, err);
    if (rc == 0)
        rc = move_file(manifest_part.p, manifest_to.p, err);
    if (rc == 0)
        rc = dir_sync(b->to, err);
    return rc;
}

/* ---- identities ---- */

/* The copy before this one holds those who were erased since. Where it has another name too it is
 * somebody's snapshot, and theirs to remove. */
static int overwrite(int fd, const char *path, struct err *err)
{
    static const char zeros[65536];
    struct stat st;
    bool ok = fstat(fd, &st) == 0;
    if (ok && st.st_nlink > 0)
        return 0;
    for (off_t at = 0; ok && at < st.st_size;) {
        off_t left = st.st_size - at;
        ssize_t n = pwrite(fd, zeros, left < (off_t)sizeof zeros ? (size_t)left : sizeof zeros, at);
        ok = n > 0 || (n < 0 && errno == EINTR);
        at += n > 0 ? n : 0;
    }
    if (ok && fsync(fd) == 0)
        return 0;
    return err_set(err, LOV_EIO, "cannot overwrite the copy of the identities before %s: %s", path,
                   strerror(errno));
}

static int replace(struct backup *b, const char *part, const char *to, struct err *err)
{
    int old = open(to, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    int rc = move_file(part, to, err);
    if (rc == 0)
        rc = dir_sync(b->to, err);
    if (rc == 0 && old >= 0)
        rc = overwrite(old, to, err);
    if (old >= 0)
        close(old);
    return rc;
}

static int not_rotating(const struct backup *b, struct err *err)
{
    if (!identity_is_rotating(b->dir))
        return 0;
    return err_reason(err, LOV_ECONFLICT, "rotating",
                      "the key is being changed (%s/key.next is there): finish that first with lov "
                      "key rotate, or where LOV_KEY was changed already, remove the file",
                      b->dir);
}

static int copy_identities(struct backup *b, struct err *err)
{
    _cleanup_buf struct buf from = {0}, part = {0}, to = {0};
    _cleanup_keys struct identity_keys keys = {0};
    struct err no_key;
    path_of(b->dir, "identity.db", "", &from);
    path_of(b->to, "identity.db", "", &to);
    path_of(b->to, "identity.db", ".part", &part);
    int rc = db_copy(from.p, part.p, show_pages, b, err);
    if (rc == 0) /* again: one that began meanwhile has left rows of both keys in the copy */
        rc = not_rotating(b, err);
    /* A key that only the server has is no reason to have no backup. */
    b->opened = identity_load_keys(b->dir, &keys, &no_key) == 0;
    if (rc == 0)
        rc = backup_verify_identity(part.p, b->opened ? &keys : NULL, &b->consumers, err);
    return rc ? rc : replace(b, part.p, to.p, err);
}

/* ---- the command ---- */

/* One backup at a time writes to a folder. */
static int take_folder(const char *to, int *fd, struct err *err)
{
    int rc = dir_create(to, 0700, err);
    if (rc == 0)
        rc = file_check_private(to, err);
    if (rc)
        return rc;
    *fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd >= 0 && flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (*fd < 0)
        return err_set(err, LOV_EIO, "cannot open %s: %s", to, strerror(errno));
    return err_reason(err, LOV_ECONFLICT, "locked", "another backup is writing to %s", to);
}

static int check_installation(const struct backup *b, struct err *err)
{
    _cleanup_buf struct buf path = {0};
    path_of(b->dir, "lov.db", "", &path);
    if (file_exists(path.p))
        return 0;
    return err_reason(err, LOV_EUNAVAILABLE, "not_found", "%s holds no installation", b->dir);
}

static void print_backup(const struct cli *c, const struct backup *b)
{
    if (!c->json) {
        if (b->lov.n)
            printf("%s.db: %lld events, verified\n", b->lov.p, (long long)b->events);
        printf("%s/identity.db: %lld consumers, %s\n", b->to, (long long)b->consumers,
               b->opened ? "each opened with the key"
                         : "verified, but not opened, since the key is not here");
        return;
    }
    _cleanup_buf struct buf out = {0}, file = {0};
    struct jw w = {.out = &out};
    jw_object_start(&w);
    jw_time_member(&w, "made_at", b->made_at);
    if (b->lov.n) {
        buf_printf(&file, "%s.db", b->lov.p);
        jw_cstr_member(&w, "stamp", b->stamp);
        jw_str_member(&w, "file", buf_view(&file));
        jw_int_member(&w, "events", b->events);
    }
    jw_int_member(&w, "consumers", b->consumers);
    jw_bool_member(&w, "opened", b->opened);
    jw_object_end(&w);
    puts(out.p);
}

/* Makes a backup. */
static int run_backup(struct cli *c)
{
    struct err err = {0};
    struct backup b = {.to = c->args[0]};
    int folder = -1;
    int rc = cli_dir(c, &b.dir, &err);
    if (rc == 0)
        rc = check_installation(&b, &err);
    if (rc == 0)
        rc = not_rotating(&b, &err);
    if (rc == 0)
        rc = take_folder(b.to, &folder, &err);
    if (rc == 0) {
        backup_clear_parts(b.to);
        stamp(&b);
        progress_start(&b.progress, "pages");
        rc = cli_value(c, "identities") ? 0 : copy_lov(&b, &err);
        if (rc == 0)
            rc = copy_identities(&b, &err);
        progress_end(&b.progress);
        if (rc)
            backup_clear_parts(b.to);
    }
    if (folder >= 0)
        close(folder);
    int code = rc ? cli_fail(c, &err) : CLI_YES;
    if (rc == 0)
        print_backup(c, &b);
    buf_free(&b.lov);
    return code;
}

static const struct cli_option options[] = {
    {"identities", NULL, "copy the identities only, to bring an erasure into the backup", NULL,
     false},
};
const struct cli_command cmd_backup = {
    .name = "backup",
    .arguments = "FOLDER",
    .least = 1,
    .most = 1,
    .summary = "copy the stores, while a server runs or not",
    .text =
        "Copies both stores as they are at one moment, while others go on reading and writing, "
        "and\n"
        "verifies the copies as lov log verify does. FOLDER keeps every copy of the lov store\n"
        "(lov-TIME.db with lov-TIME.json), and of the identities only the latest: the one before is\n"
        "overwritten, so that who was erased is gone from the backup too. The key is not copied.\n"
        "docs/backup.md tells how to keep it.",
    CLI_OPTIONS(options),
    .run = run_backup,
};
