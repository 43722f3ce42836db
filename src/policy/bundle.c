/* bundle.c - the files of a policy as text, from a folder or from JSON. A bundle may come from a
 * caller of the API, so its paths are held to the few shapes that a policy has: none can leave the
 * folder it is written to. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "policy/policy.h"

enum { MAX_FILES = 256, MAX_FILE = 256 * 1024, MAX_PATH = 160 };

void policy_bundle_free(struct policy_bundle *b)
{
    arena_free(&b->arena);
    *b = (struct policy_bundle){0};
}

static bool path_is_sound(struct str path)
{
    if (!path.n || path.n > MAX_PATH || path.p[0] == '/' || path.p[0] == '.')
        return false;
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '-' || c == '/' || c == '.';
        if (!plain ||
            (i && (c == '.' || c == '/') && (path.p[i - 1] == '.' || path.p[i - 1] == '/')))
            return false;
    }
    return true;
}

static int bundle_add(struct policy_bundle *b, struct str path, struct str text, struct err *err)
{
    if (!path_is_sound(path))
        return err_reason(err, LOV_EINVAL, "invalid_bundle", "\"%.*s\" is no path of a policy file",
                          STR_ARG(path));
    if (b->count == MAX_FILES)
        return err_reason(err, LOV_ELIMIT, "invalid_bundle", "more than %d policy files",
                          MAX_FILES);
    if (text.n > MAX_FILE)
        return err_reason(err, LOV_ELIMIT, "invalid_bundle", "%.*s is larger than %d bytes",
                          STR_ARG(path), MAX_FILE);
    if (!str_utf8_valid(text) || memchr(text.n ? text.p : "", '\0', text.n))
        return err_reason(err, LOV_EINVAL, "invalid_bundle", "%.*s is not UTF-8 text",
                          STR_ARG(path));
    if (!b->files)
        b->files = arena_array(&b->arena, MAX_FILES, sizeof *b->files);
    b->files[b->count++] =
        (struct policy_file){arena_str(&b->arena, path), arena_str(&b->arena, text)};
    return 0;
}

static int by_path(const void *a, const void *b)
{
    return str_cmp(((const struct policy_file *)a)->path, ((const struct policy_file *)b)->path);
}

static void bundle_sort(struct policy_bundle *b)
{
    if (b->count)
        qsort(b->files, b->count, sizeof *b->files, by_path);
}

struct reading {
    const char *dir;
    struct policy_bundle bundle;
};

static int read_one(void *ctx, const char *relative, struct err *err)
{
    struct reading *r = ctx;
    struct str path = str_of(relative);
    bool notice = str_starts(path, STR("notices/")) && str_ends(path, STR(".md"));
    if (!notice && !str_ends(path, STR(".yaml")))
        return 0;
    _cleanup_buf struct buf full = {0};
    _cleanup_buf struct buf text = {0};
    buf_printf(&full, "%s/%s", r->dir, relative);
    int rc = file_read(full.p, MAX_FILE, &text, err);
    return rc ? rc : bundle_add(&r->bundle, path, buf_view(&text), err);
}

int policy_bundle_read(const char *dir, struct policy_bundle *out, struct err *err)
{
    struct reading r = {.dir = dir};
    int rc = dir_walk(dir, read_one, &r, err);
    if (rc == 0 && r.bundle.count == 0)
        rc = err_reason(err, LOV_ENOTFOUND, "invalid_bundle", "%s holds no policy files", dir);
    if (rc) {
        policy_bundle_free(&r.bundle);
        return rc;
    }
    bundle_sort(&r.bundle);
    *out = r.bundle;
    return 0;
}

static int take_files(const json_t *files, struct policy_bundle *b, struct err *err)
{
    const char *path;
    json_t *text;
    json_object_foreach((json_t *)files, path, text) {
        if (!json_is_string(text))
            return err_reason(err, LOV_EINVAL, "invalid_bundle",
                              "files: each member is the text of a file");
        int rc = bundle_add(b, str_of(path), json_text(text), err);
        if (rc)
            return rc;
    }
    return 0;
}

int policy_bundle_from_json(struct str json, struct policy_bundle *out, struct err *err)
{
    _cleanup_json json_t *root = NULL;
    int rc = json_read(json, &root, err);
    if (rc)
        return rc;
    const json_t *files = json_object_get(root, "files");
    if (!json_is_object(files) || json_object_size(root) != 1)
        return err_reason(err, LOV_EINVAL, "invalid_bundle",
                          "a policy is {\"files\": {\"controller.yaml\": \"...\", ...}}");
    struct policy_bundle b = {0};
    rc = take_files(files, &b, err);
    if (rc) {
        policy_bundle_free(&b);
        return rc;
    }
    bundle_sort(&b);
    *out = b;
    return 0;
}

void policy_bundle_to_json(const struct policy_bundle *b, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_object_member(&w, "files");
    for (size_t i = 0; i < b->count; i++) {
        jw_key_str(&w, b->files[i].path);
        jw_str(&w, b->files[i].text);
    }
    jw_object_end(&w);
    jw_object_end(&w);
}
