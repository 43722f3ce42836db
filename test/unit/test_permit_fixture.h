/*
 * test_permit_fixture.h - an index under a policy of its own, consumers in it, and a reader.
 */
#ifndef LOV_TEST_PERMIT_FIXTURE_H
#define LOV_TEST_PERMIT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cmac.h"
#include "consent/engine.h"
#include "permit/handle.h"
#include "test_seed.h"

enum { KEYS = 40 };
static const uint8_t key[16] = "key of the tests";

static inline struct hash128 hash_of(const void *data, size_t n)
{
    struct cmac_key k;
    cmac_key_init(&k, key, true);
    return cmac_of(&k, data, n);
}

struct fixture {
    char dir[64], path[96];
    struct log log;
    struct index *ix;
    enum index_found found;
    int32_t sufficient_from;
    int guardian_below;
    bool long_names;
    uint32_t keys[KEYS], notice, residence, wide_residence;
};

static inline void open_index_in(struct fixture *f)
{
    struct err err = {0};
    struct index_options o = {.dir = f->dir, .installation = "test", .shards = 1, .log = &f->log};
    memcpy(o.lookup_key, key, sizeof key);
    int rc = index_open(&o, &f->ix, &f->found, &err);
    if (rc)
        print_message("%s\n", err.text);
    assert_int_equal(rc, 0);
}

/* As it is, or made longer in `room`. */
static inline const char *named(const struct fixture *f, const char *name, char room[32])
{
    snprintf(room, 32, "%s%s", f->long_names ? "longer_" : "", name);
    return room;
}

static inline void name_things(struct fixture *f)
{
    char category[16];
    index_write_lock(f->ix);
    for (int i = 0; i < KEYS; i++) {
        char room[3][32];
        snprintf(category, sizeof category, "c%d", i);
        f->keys[i] = index_key(f->ix, str_of(named(f, "r", room[0])),
                               str_of(named(f, "p", room[1])), str_of(named(f, category, room[2])));
    }
    f->notice = index_notice(f->ix, STR("n"));
    f->residence = index_residence(f->ix, STR("SE"));
    for (int i = 0; i < 1100; i++) {
        snprintf(category, sizeof category, "X%d", i);
        f->wide_residence = index_residence(f->ix, str_of(category));
    }
    index_write_unlock(f->ix);
}

/* A policy with one activity under consent, for all keys. */
static inline void publish_policy(struct fixture *f)
{
    struct policy_category categories[KEYS] = {{0}};
    const struct policy_category *covered[KEYS];
    char names[KEYS][32], recipient_name[32], purpose_name[32];
    enum policy_basis basis[] = {BASIS_CONSENT};
    struct policy_purpose purpose = {.id = str_of(named(f, "p", purpose_name))};
    struct policy_recipient recipient = {.id = str_of(named(f, "r", recipient_name)),
                                         .contract_end = INT64_MAX,
                                         .safeguards_end = TIME_NONE,
                                         .training_end = TIME_NONE,
                                         .begins = TIME_NONE};
    struct str everywhere[] = {STR("SE")};
    struct policy_law law = {.id = STR("law"),
                             .territories = everywhere,
                             .territory_count = 1,
                             .guardian_below = f->guardian_below};
    struct policy_notice notice = {
        .id = STR("n"), .version = 1, .sufficient_from = f->sufficient_from};
    struct policy_activity activity = {.id = STR("a"),
                                       .purpose = &purpose,
                                       .recipient = &recipient,
                                       .categories = covered,
                                       .category_count = KEYS,
                                       .basis = basis,
                                       .notice = &notice};
    for (int i = 0; i < KEYS; i++) {
        char short_name[16];
        snprintf(short_name, sizeof short_name, "c%d", i);
        categories[i].id = str_of(named(f, short_name, names[i]));
        covered[i] = &categories[i];
    }
    struct policy_private *nothing = calloc(1, 4096);
    struct policy policy = {.version = 7,
                            .default_residence = STR("SE"),
                            .recipients = &recipient,
                            .recipient_count = 1,
                            .laws = &law,
                            .law_count = 1,
                            .activities = &activity,
                            .activity_count = 1,
                            .private = nothing};
    struct obligations obligations = {0};
    struct buf image = {0};
    for (int human = 0; human < 2; human++)
        buf_printf(&obligations.text[human], "{\"view\":%d}", human + 1);
    index_write_lock(f->ix);
    image_write(f->ix, &policy, &obligations, &image);
    index_publish(f->ix, image.p, image.n);
    index_write_unlock(f->ix);
    for (int human = 0; human < 2; human++)
        buf_free(&obligations.text[human]);
    buf_free(&image);
    free(nothing);
}

static inline int make(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/lov-permit-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/permits.idx", f->dir);
    f->log = (struct log){.fd = STDERR_FILENO, .level = LOG_ERROR};
    f->sufficient_from = 1;
    open_index_in(f);
    assert_int_equal(f->found, INDEX_EMPTY);
    name_things(f);
    publish_policy(f);
    index_go_live(f->ix);
    *state = f;
    return 0;
}

static inline int end(void **state)
{
    struct fixture *f = *state;
    char command[128];
    index_close(f->ix, true);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* ---- a consumer in a plain array ---- */

struct plain {
    bool erased, restricted, opt_out, by_people;
    uint32_t residence;
    int32_t born;
    bool has[KEYS];
    struct permit says[KEYS];
};

static inline struct hash128 lookup_of(long id)
{
    return hash_of(&id, sizeof id);
}

static inline struct uid cid_of(long id)
{
    struct uid cid = {{0}};
    memcpy(cid.b, &id, sizeof id);
    cid.b[15] = 1;
    return cid;
}

static inline void change_plain(struct fixture *f, struct plain *p, uint64_t *seed)
{
    uint64_t r = seed_next(seed);
    if (r % 7 == 0) {
        p->restricted = r >> 8 & 1;
        p->opt_out = r >> 9 & 1;
        p->by_people = r >> 11 & 1;
        p->residence = r >> 10 & 1 ? f->residence : f->wide_residence;
        p->born = r % 3 == 0   ? DAY_NONE
                  : r % 5 == 0 ? (int32_t)(r % 800000) - 100000
                               : (int32_t)(r % 20000);
    }
    for (uint64_t n = 1 + seed_next(seed) % 3; n > 0; n--) {
        uint64_t v = seed_next(seed);
        int k = (int)(v % KEYS);
        p->has[k] = true;
        p->says[k] = (struct permit){
            .key = f->keys[k],
            .state = (uint8_t)(v >> 8) % 3,
            .by_guardian = v >> 11 & 1,
            .notice = f->notice,
            .notice_version = (int32_t)(v >> 12 & 3) + 1,
            .expires_at = v >> 16 & 1 ? INT64_MAX : (int64_t)(v >> 20 & 0xFFFFFFFFFF),
            .consent = v >> 17 & 3 ? (int64_t)(v >> 40) : (int64_t)(v >> 2),
        };
    }
}

static inline void write_plain(struct fixture *f, const struct plain *p, struct index_consumer *c)
{
    if (p->erased) {
        index_erase(f->ix, c);
        return;
    }
    c->restricted = p->restricted;
    c->opt_out_signal = p->opt_out;
    c->no_automated_decision = p->by_people;
    c->residence = p->residence;
    c->born = p->born;
    for (int k = 0; k < KEYS; k++)
        if (p->has[k])
            index_set(f->ix, c, &p->says[k]);
}

static inline void compare_plain(struct fixture *f, long id, const struct plain *p)
{
    struct hash128 lookup = lookup_of(id);
    for (int k = 0; k < KEYS; k++) {
        struct permit_answer a;
        assert_int_equal(permit_find(index_map(f->ix), &lookup, f->keys[k], &a), PERMIT_SOMEBODY);
        assert_int_equal(a.erased, p->erased);
        if (p->erased) {
            assert_false(a.answered);
            continue;
        }
        assert_int_equal(a.restricted, p->restricted);
        assert_int_equal(a.opt_out_signal, p->opt_out);
        assert_int_equal(a.no_automated_decision, p->by_people);
        assert_int_equal(a.residence, p->residence);
        assert_int_equal(a.born, p->born);
        assert_int_equal(a.answered, p->has[k]);
        if (!p->has[k])
            continue;
        assert_int_equal(a.state, p->says[k].state);
        assert_int_equal(a.by_guardian, p->says[k].by_guardian);
        assert_int_equal(a.notice, p->says[k].notice);
        assert_int_equal(a.notice_version, p->says[k].notice_version);
        assert_true(a.expires_at == p->says[k].expires_at);
        assert_true(a.consent == p->says[k].consent);
        struct permit_answer b;
        uint32_t number = (uint32_t)id;
        assert_int_equal(
            permit_find_number(index_map(f->ix), index_address(f->ix, id), number, f->keys[k], &b),
            PERMIT_SOMEBODY);
        assert_true(b.consent == a.consent);
    }
}

/* Of the consumer whom add_consumer() adds. */
static inline struct hash128 lookup_of_text(long id)
{
    char text[16];
    snprintf(text, sizeof text, "%08ld", id);
    return hash_of(text, strlen(text));
}

static inline void add_consumer(struct fixture *f, long id, uint8_t said)
{
    struct hash128 lookup = lookup_of_text(id);
    struct uid cid = cid_of(id);
    index_write_lock(f->ix);
    struct index_consumer *c = index_change(f->ix, &lookup);
    if (!c)
        c = index_add(f->ix, &lookup, &cid, 0);
    c->residence = f->residence;
    for (int k = 0; k < 2; k++) {
        struct permit p = {.key = f->keys[k],
                           .state = said,
                           .notice = f->notice,
                           .notice_version = 1,
                           .expires_at = INT64_MAX,
                           .consent = id};
        index_set(f->ix, c, &p);
    }
    index_write_unlock(f->ix);
}

static inline int ask(struct lov *lov, long id, struct lov_decision *out)
{
    char text[16];
    snprintf(text, sizeof text, "%08ld", id);
    return lov_decide(lov, "r", "p", "c1", text, 0, out);
}

static inline struct lov *open_lov(const char *path)
{
    struct lov *lov = NULL;
    char error[256] = "";
    int rc = lov_open(path, &lov, error, sizeof error);
    if (rc)
        print_message("%s\n", error);
    assert_int_equal(rc, 0);
    return lov;
}

#endif
