/* file.c - see file.h. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEEPEST = 8 };

static int io_error(struct err *err, const char *what, const char *path)
{
    return err_set(err, errno == ENOENT ? LOV_ENOTFOUND : LOV_EIO, "cannot %s %s: %s", what, path,
                   strerror(errno));
}

int file_read(const char *path, size_t max, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return io_error(err, "open", path);
    size_t start = out->n;
    int rc = 0;
    for (;;) {
        char chunk[65536];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = io_error(err, "read", path);
        if (n <= 0)
            break;
        buf_add(out, chunk, (size_t)n);
        if (out->n - start > max) {
            rc = err_set(err, LOV_ELIMIT, "%s is larger than %zu bytes", path, max);
            break;
        }
    }
    close(fd);
    if (rc && out->p) {
        out->n = start;
        out->p[start] = '\0';
    }
    return rc;
}

static int write_all(int fd, struct str content)
{
    while (content.n) {
        ssize_t n = write(fd, content.p, content.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        content.p += n;
        content.n -= (size_t)n;
    }
    return 0;
}

int file_create(const char *path, mode_t mode, struct str content, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return io_error(err, "create", path);
    bool ok = write_all(fd, content) == 0 && fsync(fd) == 0;
    int rc = ok ? 0 : io_error(err, "write", path);
    close(fd);
    if (rc) {
        unlink(path);
        return rc;
    }
    char *folder = str_dup(str_of(path));
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    rc = dir_sync(slash ? (slash == folder ? "/" : folder) : ".", err);
    free(folder);
    return rc;
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

int file_check_private(const char *path, struct err *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return io_error(err, "look at", path);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return err_set(err, LOV_EINVAL,
                       "%s can be reached by other users: run chmod go-rwx %s and start again",
                       path, path);
    return 0;
}

static int make_folder(const char *path, mode_t mode, struct err *err)
{
    if (mkdir(path, mode) == 0)
        return 0;
    if (errno != EEXIST)
        return io_error(err, "create folder", path);
    struct stat st;
    if (stat(path, &st) != 0)
        return io_error(err, "look at", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, LOV_EIO, "cannot create folder %s: a file has that name", path);
    return 0;
}

int dir_create(const char *path, mode_t mode, struct err *err)
{
    char *copy = str_dup(str_of(path));
    /* A slash at the end would make the folder itself one of those above it, with their mode. */
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
        copy[n - 1] = '\0';
    int rc = 0;
    for (char *p = *copy ? copy + 1 : copy; rc == 0 && *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        rc = make_folder(copy, 0755, err);
        *p = '/';
    }
    if (rc == 0)
        rc = make_folder(copy, mode, err);
    free(copy);
    return rc;
}

int dir_sync(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return io_error(err, "open folder", path);
    int rc = fsync(fd) == 0 ? 0 : io_error(err, "sync folder", path);
    close(fd);
    return rc;
}

struct walk {
    const char *root;
    int (*visit)(void *ctx, const char *relative, struct err *err);
    void *ctx;
    struct err *err;
};

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int byte_order(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int walk_folder(const struct walk *walk, const char *relative, int depth)
{
    _cleanup_buf struct buf path = {0};
    buf_printf(&path, "%s%s%s", walk->root, *relative ? "/" : "", relative);
    if (depth > DEEPEST)
        return err_set(walk->err, LOV_ELIMIT, "%s: folders nested too deep", path.p);
    struct dirent **entries;
    int count = scandir(path.p, &entries, not_hidden, byte_order);
    if (count < 0)
        return io_error(walk->err, "list", path.p);
    int rc = 0;
    for (int i = 0; i < count; i++) {
        _cleanup_buf struct buf name = {0}, full = {0};
        buf_printf(&name, "%s%s%s", relative, *relative ? "/" : "", entries[i]->d_name);
        buf_printf(&full, "%s/%s", walk->root, name.p);
        struct stat st;
        if (rc == 0 && lstat(full.p, &st) == 0) {
            if (S_ISDIR(st.st_mode))
                rc = walk_folder(walk, name.p, depth + 1);
            else if (S_ISREG(st.st_mode))
                rc = walk->visit(walk->ctx, name.p, walk->err);
        }
        free(entries[i]);
    }
    free(entries);
    return rc;
}

int dir_walk(const char *root, int (*visit)(void *ctx, const char *relative, struct err *err),
             void *ctx, struct err *err)
{
    struct walk walk = {root, visit, ctx, err};
    return walk_folder(&walk, "", 1);
}
