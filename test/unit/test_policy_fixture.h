/*
 * test_policy_fixture.h - the demo company's policy, changed in one place.
 *
 * A test starts from the shipped policy (folder policy/ of the working directory, or LOV_POLICY),
 * edits one file, compiles, and looks at what came out.
 */
#ifndef LOV_TEST_POLICY_FIXTURE_H
#define LOV_TEST_POLICY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy.h"

struct fixture {
    struct policy_bundle bundle;
    struct policy_findings findings;
    struct policy *policy;
    struct err err;
    int64_t as_of;
    int rc;
};

static inline void fixture_open(struct fixture *f)
{
    *f = (struct fixture){.as_of = clock_now()};
    const char *dir = getenv("LOV_POLICY");
    if (policy_bundle_read(dir ? dir : "policy", &f->bundle, &f->err) != 0)
        fail_msg("%s", f->err.text);
}

static inline void fixture_close(struct fixture *f)
{
    policy_unref(f->policy);
    policy_findings_free(&f->findings);
    policy_bundle_free(&f->bundle);
}

static inline struct policy_file *fixture_file(struct fixture *f, const char *path)
{
    for (size_t i = 0; i < f->bundle.count; i++) {
        if (str_is(f->bundle.files[i].path, path))
            return &f->bundle.files[i];
    }
    fail_msg("the policy has no file %s", path);
    return NULL;
}

/* Replaces the first `from` of a file; a `from` that is not there fails the test. */
static inline void fixture_edit(struct fixture *f, const char *path, const char *from,
                                const char *to)
{
    struct policy_file *file = fixture_file(f, path);
    const char *at = strstr(file->text.p, from);
    if (!at)
        fail_msg("%s has no \"%s\"", path, from);
    size_t before = (size_t)(at - file->text.p);
    file->text = arena_printf(&f->bundle.arena, "%.*s%s%s", (int)before, file->text.p, to,
                              at + strlen(from));
}

static inline void fixture_remove(struct fixture *f, const char *path)
{
    struct policy_file *file = fixture_file(f, path);
    size_t after = f->bundle.count - (size_t)(file - f->bundle.files) - 1;
    memmove(file, file + 1, after * sizeof *file);
    f->bundle.count--;
}

static inline void fixture_add(struct fixture *f, const char *path, const char *text)
{
    struct policy_file *files = arena_array(&f->bundle.arena, f->bundle.count + 1, sizeof *files);
    memcpy(files, f->bundle.files, f->bundle.count * sizeof *files);
    files[f->bundle.count] = (struct policy_file){str_of(path), str_of(text)};
    f->bundle.files = files;
    f->bundle.count++;
}

static inline void fixture_compile(struct fixture *f, const struct policy_past_notice *past,
                                   size_t past_count)
{
    f->rc =
        policy_compile(&f->bundle, past, past_count, f->as_of, &f->policy, &f->findings, &f->err);
}

static inline void fixture_show(const struct fixture *f)
{
    for (size_t i = 0; i < f->findings.count; i++) {
        const struct policy_finding *x = &f->findings.items[i];
        print_message("%.*s:%d: %s: %.*s\n", STR_ARG(x->file), x->line, x->rule, STR_ARG(x->text));
    }
}

/* The shipped policy, compiled. */
static inline void fixture_demo(struct fixture *f)
{
    fixture_open(f);
    fixture_compile(f, NULL, 0);
    if (f->rc != 0)
        fixture_show(f);
    assert_int_equal(f->rc, 0);
}

/* The number of the first line that holds `text`; 0 where `text` is NULL. */
static inline int fixture_line(struct fixture *f, const char *path, const char *text)
{
    if (!text)
        return 0;
    struct policy_file *file = fixture_file(f, path);
    const char *at = strstr(file->text.p, text);
    if (!at)
        fail_msg("%s has no \"%s\"", path, text);
    int line = 1;
    for (const char *p = file->text.p; p < at; p++)
        line += *p == '\n';
    return line;
}

#endif
