/* kek.c - the files of the key-encryption key. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "identity/store.h"

static const char KEY[] = "key", NEXT[] = "key.next";

enum { KEY_TEXT_MAX = 256 };

void identity_keys_wipe(struct identity_keys *keys)
{
    secret_wipe(&keys->key[0]);
    secret_wipe(&keys->key[1]);
    keys->count = 0;
}

static void path_in(const char *dir, const char *name, struct buf *out)
{
    buf_clear(out);
    buf_printf(out, "%s/%s", dir, name);
}

static int create_key(const char *dir, const char *name, struct err *err)
{
    _cleanup_buf struct buf path = {0}, text = {0};
    _cleanup_secret struct secret kek;
    random_bytes(kek.b, sizeof kek.b);
    path_in(dir, name, &path);
    hex_encode(kek.b, sizeof kek.b, &text);
    buf_char(&text, '\n');
    int rc = file_create(path.p, 0600, buf_view(&text), err);
    memset(text.p, 0, text.n);
    return rc;
}

int identity_create_key(const char *dir, struct err *err)
{
    return create_key(dir, KEY, err);
}

static int read_key(const char *dir, const char *name, struct secret *kek, struct err *err)
{
    _cleanup_buf struct buf path = {0}, text = {0};
    path_in(dir, name, &path);
    int rc = file_check_private(path.p, err);
    if (rc == 0)
        rc = file_read(path.p, KEY_TEXT_MAX, &text, err);
    if (rc)
        return rc;
    bool ok = hex_decode(str_trim(buf_view(&text)), kek->b, sizeof kek->b);
    memset(text.p, 0, text.n);
    return ok ? 0 : err_set(err, LOV_EINVAL, "%s is not 64 hexadecimal digits", path.p);
}

static int current_key(const char *dir, struct secret *kek, struct err *err)
{
    const char *given = getenv("LOV_KEY");
    if (!given)
        return read_key(dir, KEY, kek, err);
    if (!hex_decode(str_trim(str_of(given)), kek->b, sizeof kek->b))
        return err_set(err, LOV_EINVAL, "LOV_KEY is not 64 hexadecimal digits");
    return 0;
}

bool identity_is_rotating(const char *dir)
{
    _cleanup_buf struct buf path = {0};
    path_in(dir, NEXT, &path);
    return file_exists(path.p);
}

int identity_load_keys(const char *dir, struct identity_keys *out, struct err *err)
{
    _cleanup_keys struct identity_keys keys = {0};
    int rc = current_key(dir, &keys.key[0], err);
    if (rc)
        return rc;
    keys.count = 1;
    if (identity_is_rotating(dir)) {
        keys.key[1] = keys.key[0];
        rc = read_key(dir, NEXT, &keys.key[0], err);
        if (rc)
            return rc;
        bool other = !bytes_equal_secret(keys.key[0].b, keys.key[1].b, sizeof keys.key[0].b);
        keys.count = other ? 2 : 1;
    }
    *out = keys;
    return 0;
}

/* ---- rotation ---- */

/* With $LOV_KEY a rotation that has ended leaves `key.next`, equal to the variable as soon as that
 * is changed: it has done its duty. */
static int forget_ended(const char *dir, struct err *err)
{
    _cleanup_secret struct secret current = {0}, next = {0};
    _cleanup_buf struct buf path = {0};
    int rc = current_key(dir, &current, err);
    if (rc == 0)
        rc = read_key(dir, NEXT, &next, err);
    if (rc || !bytes_equal_secret(current.b, next.b, sizeof next.b))
        return rc;
    path_in(dir, NEXT, &path);
    if (unlink(path.p) != 0)
        return err_set(err, LOV_EIO, "cannot remove %s: %s", path.p, strerror(errno));
    return dir_sync(dir, err);
}

int identity_rotate_begin(struct identity *who, const char *dir, struct err *err)
{
    _cleanup_keys struct identity_keys keys = {0};
    int rc = identity_is_rotating(dir) ? forget_ended(dir, err) : 0;
    if (rc == 0 && !identity_is_rotating(dir))
        rc = create_key(dir, NEXT, err);
    if (rc == 0)
        rc = identity_load_keys(dir, &keys, err);
    if (rc)
        return rc;
    pthread_rwlock_wrlock(&who->lock);
    who->keys = keys;
    who->generation++;
    pthread_rwlock_unlock(&who->lock);
    return 0;
}

/* The old key's bytes, which its file held: best effort, since a file system may write elsewhere.
 */
static void overwrite(int fd)
{
    static const char zeros[KEY_TEXT_MAX];
    struct stat st;
    if (fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size > 0 && st.st_size <= KEY_TEXT_MAX &&
        pwrite(fd, zeros, (size_t)st.st_size, 0) == st.st_size)
        fsync(fd);
}

static int replace_file(const char *dir, struct err *err)
{
    _cleanup_buf struct buf from = {0}, to = {0};
    path_in(dir, NEXT, &from);
    path_in(dir, KEY, &to);
    int old = open(to.p, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    int rc = rename(from.p, to.p) == 0 ? dir_sync(dir, err)
                                       : err_set(err, LOV_EIO, "cannot rename %s to %s: %s", from.p,
                                                 to.p, strerror(errno));
    if (old >= 0) {
        if (rc == 0)
            overwrite(old);
        close(old);
    }
    return rc;
}

int identity_rotate_end(struct identity *who, const char *dir, bool *environment, struct err *err)
{
    bool variable = getenv("LOV_KEY") != NULL;
    int rc = variable || !identity_is_rotating(dir) ? 0 : replace_file(dir, err);
    if (rc)
        return rc;
    pthread_rwlock_wrlock(&who->lock);
    secret_wipe(&who->keys.key[1]);
    who->keys.count = 1;
    pthread_rwlock_unlock(&who->lock);
    *environment = variable;
    return 0;
}
