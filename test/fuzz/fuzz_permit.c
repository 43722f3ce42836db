/* fuzz_permit.c - hostile permit indexes through liblov's opener and its decisions: any bytes as a
 * file, and a well-formed file whose policy, table and side areas are changed at any place with the
 * checksums made right again, as somebody would who wants more than a refusal. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cmac.h"
#include "consent/engine.h"

enum { FILE_SIZE = 1 << 20, POLICY_AT = 8192, POLICY_SIZE = 128 << 10, PART = 64 << 10 };
static const uint8_t key[16] = "key of the fuzz";

static struct buf valid; /* the demo company's policy */
static struct image_use first_use;
static char names[3][64];

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void keep_names(void)
{
    const struct image *i = (const struct image *)(const void *)valid.p;
    first_use = *IMAGE_AT(i, uses, struct image_use);
    const struct image_text parts[] = {
        IMAGE_AT(i, recipients, struct image_recipient)[first_use.recipient].name,
        first_use.purpose, first_use.category};
    for (int k = 0; k < 3; k++)
        memcpy(names[k], valid.p + i->strings.offset + parts[k].offset, parts[k].length);
}

static void make_valid(void)
{
    struct err err = {0};
    struct policy_bundle bundle = {0};
    struct policy_findings findings = {0};
    struct policy *policy = NULL;
    static struct log quiet = {.fd = STDERR_FILENO, .level = LOG_ERROR};
    char dir[] = "/tmp/lov-fuzz-XXXXXX", command[64];
    struct index_options o = {
        .dir = mkdtemp(dir), .installation = "fuzz", .shards = 1, .log = &quiet};
    struct index *ix;
    enum index_found found;
    demand(index_open(&o, &ix, &found, &err) == 0);
    demand(policy_bundle_read("policy", &bundle, &err) == 0);
    demand(policy_compile(&bundle, NULL, 0, clock_now(), &policy, &findings, &err) == 0);
    index_write_lock(ix);
    index_residence(ix, STR("SE"));
    struct rules *rules = rules_new(ix, policy);
    buf_str(&valid, buf_view(&rules->image));
    index_write_unlock(ix);
    rules_unref(rules);
    index_close(ix, false);
    policy_findings_free(&findings);
    policy_bundle_free(&bundle);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    demand(system(command) == 0);
    demand(valid.n < POLICY_SIZE);
    keep_names();
}

/* ---- a file ---- */

static void lay_out(struct permit_fixed *f)
{
    const struct permit_section sections[SECTION_COUNT] = {
        [SECTION_RESIDENCES] = {POLICY_AT + 2 * POLICY_SIZE, 64},
        [SECTION_NAMES] = {POLICY_AT + 2 * POLICY_SIZE + 64, 64},
        [SECTION_POLICY_0] = {POLICY_AT, POLICY_SIZE},
        [SECTION_POLICY_1] = {POLICY_AT + POLICY_SIZE, POLICY_SIZE},
        [SECTION_TERMS] = {PART * 5, PART},
        [SECTION_OVERFLOW] = {PART * 6, PART},
        [SECTION_TABLE_0] = {PART * 7, PART * 4},
        [SECTION_TABLE_1] = {PART * 11, PART * 4},
    };
    memcpy(f->magic, PERMIT_MAGIC, sizeof f->magic);
    memcpy(f->section, sections, sizeof sections);
    memcpy(f->lookup_key, key, sizeof key);
    f->format = PERMIT_FORMAT;
    f->fixed_size = sizeof *f;
    f->file_size = FILE_SIZE;
}

static void make_right(uint8_t *file)
{
    struct permit_fixed *f = (struct permit_fixed *)(void *)file;
    struct image *image = (struct image *)(void *)(file + POLICY_AT);
    const size_t covered = offsetof(struct image, uses);
    f->checksum = permit_checksum(f, offsetof(struct permit_fixed, checksum));
    if (image->size >= sizeof *image && image->size <= POLICY_SIZE)
        image->checksum = permit_checksum((const char *)image + covered, image->size - covered);
}

static void make_live(uint8_t *file)
{
    struct permit_header *h = (struct permit_header *)(void *)file;
    h->state = PERMIT_LIVE;
    h->boot = permit_boot();
    h->heartbeat = permit_ticks();
    h->now = permit_now();
    h->epoch = 2;
    h->turn = 1;
    h->lines[0] = h->lines[1] = 64;
    memcpy(file + POLICY_AT, valid.p, valid.n);
}

/* The consumer "1" where they would be, in the words that follow. */
static void place_consumer(uint8_t *file, const uint8_t *data, size_t size)
{
    struct cmac_key k;
    cmac_key_init(&k, key, true);
    struct hash128 lookup = cmac_of(&k, "1", 1);
    uint64_t *line =
        (uint64_t *)(void *)(file + PART * 7 + home_of(lookup_address(&lookup), 64) * 64);
    memcpy(line, data, size < 64 ? size : 64);
    line[0] &= ~(uint64_t)1;
    line[1] = lookup_tag(&lookup);
    line[3] |= (uint64_t)ATTR_USED << 32;
}

/* Each four bytes of the input: where, and what to put there. */
static void change(uint8_t *file, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i + 4 <= size; i += 4) {
        uint32_t at = (uint32_t)data[i] << 8 | data[i + 1];
        if (data[i + 2] & 1)
            at = POLICY_AT + at % (uint32_t)valid.n;
        else if (data[i + 2] & 2)
            at = PART * 5 + at;
        else if (data[i + 2] & 4)
            at = PART * 6 + at;
        else if (at >= sizeof(struct permit_fixed))
            at = PART * 7 + at % (64 * 64);
        file[at] = data[i + 3];
    }
}

static void ask(struct lov *lov)
{
    static const char *const consumers[] = {"1", "nobody", ""};
    struct lov_decision d[3];
    char text[256];
    for (int i = 0; i < 3; i++) {
        int permit = lov_decide(lov, names[0], names[1], names[2], consumers[i], 1 + i, &d[i]);
        demand(permit == (d[i].reason == LOV_PERMITTED) && permit == d[i].permit);
        demand(lov_reason_name(d[i].reason) != NULL);
        lov_explain(lov, &d[i], text, sizeof text);
    }
    lov_decide_many(lov, "marketing", "personal_offers", "purchases", consumers, 3, 0, d);
    lov_decide_many(lov, "m", "", "p", consumers, 3, 0, d);
}

static void open_and_ask(const uint8_t *file, size_t size)
{
    char path[64], error[128];
    struct lov *lov = NULL;
    int fd = memfd_create("permit", MFD_CLOEXEC);
    demand(fd >= 0 && write(fd, file, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int rc = lov_open(path, &lov, error, sizeof error);
    demand((rc == 0) == (lov != NULL));
    if (rc == 0)
        ask(lov);
    lov_close(lov);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[FILE_SIZE] __attribute__((aligned(64)));
    if (!valid.p)
        make_valid();
    if (size == 0)
        return 0;
    if (data[0] == 0) {
        open_and_ask(data + 1, size - 1);
        return 0;
    }
    memset(file, 0, sizeof file);
    lay_out((struct permit_fixed *)(void *)file);
    make_live(file);
    place_consumer(file, data + 1, size - 1);
    if (size > 65)
        change(file, data + 65, size - 65);
    make_right(file);
    open_and_ask(file, sizeof file);
    return 0;
}
