/* demo.c - lov demo. The company is made in DIR.making and gets its name when it is whole, so that
 * a demo that was interrupted is never taken for one. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/demo.h"
#include "cli/demo_policy.h"

enum { PURCHASES_MAX = 64 << 20 };

static const char *const places[] = {
    "../shared/data/cdnow/CDNOW_master.txt",
    ".cache/cdnow/CDNOW_master.txt",
};

/* ---- what it is made from ---- */

static int read_customers(const struct cli *c, struct demo_customers *out, struct err *err)
{
    _cleanup_buf struct buf text = {0};
    const char *path = cli_value(c, "purchases");
    int64_t limit = DEMO_CUSTOMERS_MAX;
    int rc = cli_number(c, "consumers", 1, DEMO_CUSTOMERS_MAX, &limit, err);
    if (rc)
        return rc;
    for (size_t i = 0; !path && i < sizeof places / sizeof *places; i++)
        if (file_exists(places[i]))
            path = places[i];
    if (!path)
        return err_reason(err, LOV_EUNAVAILABLE, "no_purchases",
                          "the demo's customers come from the CDNOW data set, which is not here: "
                          "`make .cache/cdnow/CDNOW_master.txt` fetches it, --purchases FILE names "
                          "a copy");
    rc = file_read(path, PURCHASES_MAX, &text, err);
    if (rc) {
        err->code = LOV_EUNAVAILABLE;
        return err->code;
    }
    return demo_customers_parse(&text, (size_t)limit, out, err);
}

/* The policy as POST /v1/policy takes it. */
static int read_policy(const struct cli *c, struct buf *out, struct err *err)
{
    const char *dir = cli_value(c, "policy");
    if (dir) {
        struct policy_bundle bundle = {0};
        int rc = policy_bundle_read(dir, &bundle, err);
        if (rc == 0)
            policy_bundle_to_json(&bundle, out);
        policy_bundle_free(&bundle);
        return rc;
    }
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_object_member(&w, "files");
    for (size_t i = 0; i < embedded_policy_count; i++)
        jw_str_member(&w, embedded_policy[i].name,
                      (struct str){embedded_policy[i].text, embedded_policy[i].size});
    jw_object_end(&w);
    jw_object_end(&w);
    return 0;
}

/* ---- the folder ---- */

/* Removes what a demo that was interrupted left: files of an installation, nothing below. */
static int remove_rest(const char *path, struct err *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0
                               : err_set(err, LOV_EIO, "cannot open %s: %s", path, strerror(errno));
    for (struct dirent *e = readdir(dir); e; e = readdir(dir))
        if (e->d_name[0] != '.')
            unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
    if (rmdir(path) != 0)
        return err_set(err, LOV_EIO, "cannot remove %s: %s", path, strerror(errno));
    return 0;
}

static int check_dir(const char *dir, struct err *err)
{
    _cleanup_buf struct buf key = {0};
    buf_printf(&key, "%s/key", dir);
    if (!file_exists(key.p))
        return 0;
    return err_reason(err, LOV_ECONFLICT, "conflict",
                      "%s holds an installation already: choose another folder, or remove it", dir);
}

static int give_name(const char *making, const char *dir, struct err *err)
{
    if (rename(making, dir) == 0)
        return 0;
    return err_set(err, LOV_EIO, "cannot rename %s to %s: %s", making, dir, strerror(errno));
}

/* ---- telling ---- */

static void print_text(const char *dir, const struct demo_counts *n, const char *key)
{
    printf("made a demo company in %s: %lld consumers with %lld purchases and %lld consents\n"
           "(%lld given, of which %lld were withdrawn and %lld ran out; %lld refused).\n"
           "The purchases are real and public, the consents are invented. Try:\n\n",
           dir, (long long)n->consumers, (long long)n->records, (long long)n->consents,
           (long long)n->given, (long long)n->withdrawn, (long long)n->expired,
           (long long)n->refused);
    printf("  lov check --dir %s --recipient marketing --purpose personal_offers \\\n"
           "      --category purchases --consumer 00001\n"
           "  lov read --dir %s 00001 purchases --recipient customer_service \\\n"
           "      --purpose customer_support\n"
           "  lov consent list --dir %s --consumer 00001\n",
           dir, dir, dir);
    if (n->first.n)
        printf("  lov consent withdraw --dir %s %s\n", dir, n->first.p);
    printf("  lov log verify --dir %s\n"
           "  lov serve --dir %s\n"
           "  curl -s http://127.0.0.1:8787/access/v1/evaluation \\\n"
           "      -H 'Authorization: Bearer %s' \\\n"
           "      -H 'Content-Type: application/json' \\\n"
           "      -d '{\"subject\":{\"type\":\"recipient\",\"id\":\"marketing\"},"
           "\"action\":{\"name\":\"personal_offers\"},"
           "\"resource\":{\"type\":\"purchases\",\"id\":\"00001\"}}'\n",
           dir, dir, key);
}

static void print_json(const char *dir, const struct demo_counts *n, const char *key)
{
    _cleanup_buf struct buf out = {0};
    struct jw w = {.out = &out};
    jw_object_start(&w);
    jw_cstr_member(&w, "dir", dir);
    jw_int_member(&w, "consumers", n->consumers);
    jw_int_member(&w, "records", n->records);
    jw_int_member(&w, "consents", n->consents);
    jw_int_member(&w, "given", n->given);
    jw_int_member(&w, "refused", n->refused);
    jw_int_member(&w, "withdrawn", n->withdrawn);
    jw_int_member(&w, "expired", n->expired);
    jw_cstr_member(&w, "key", key);
    jw_key(&w, "consent");
    if (n->first.n)
        jw_str(&w, buf_view(&n->first));
    else
        jw_null(&w);
    jw_object_end(&w);
    puts(out.p);
}

/* ---- the command ---- */

/* Policy, consumers, answers and a key, in the open installation. */
static int fill(struct cli *c, const struct demo_customers *customers, struct str policy,
                struct demo_counts *counts, struct cli_answer *key)
{
    struct err err = {0};
    _cleanup_answer struct cli_answer applied = {0};
    int code = cli_ask(c, "POST", "/v1/policy", policy, &applied);
    if (code)
        return code;
    int rc = demo_load(cli_engine(c), customers, counts, &err);
    if (rc)
        return cli_fail(c, &err);
    return cli_ask(c, "POST", "/v1/keys", STR("{\"staff\":\"admin\"}"), key);
}

static int make(struct cli *c, const char *dir, const struct demo_customers *customers,
                struct str policy)
{
    struct err err = {0};
    struct demo_counts counts = {0};
    _cleanup_answer struct cli_answer key = {0};
    _cleanup_buf struct buf making = {0};
    struct str plain = str_of(dir);
    while (plain.n > 1 && plain.p[plain.n - 1] == '/')
        plain.n--;
    buf_printf(&making, "%.*s.making", STR_ARG(plain));
    int rc = remove_rest(making.p, &err);
    if (rc == 0)
        rc = engine_init(making.p, &err);
    if (rc == 0)
        rc = cli_open_at(c, making.p, &err);
    int code = rc ? cli_fail(c, &err) : fill(c, customers, policy, &counts, &key);
    cli_close(c);
    if (code == CLI_YES && give_name(making.p, dir, &err) != 0)
        code = cli_fail(c, &err);
    if (code == CLI_YES)
        (c->json ? print_json : print_text)(dir, &counts, json_cstr(key.json, "key"));
    buf_free(&counts.first);
    return code;
}

/* Makes a company to try things on, whose customers are those of a public data set. */
static int run_demo(struct cli *c)
{
    struct err err = {0};
    const char *dir;
    struct demo_customers customers = {0};
    _cleanup_buf struct buf policy = {0};
    int rc = cli_dir(c, &dir, &err);
    if (rc == 0)
        rc = check_dir(dir, &err);
    if (rc == 0)
        rc = read_customers(c, &customers, &err);
    if (rc == 0)
        rc = read_policy(c, &policy, &err);
    int code = rc ? cli_fail(c, &err) : make(c, dir, &customers, buf_view(&policy));
    demo_customers_free(&customers);
    return code;
}

static const struct cli_option options[] = {
    {"purchases", "FILE", "CDNOW_master.txt, when it is in neither of its usual places", NULL,
     false},
    {"consumers", "N", "only the first N customers", NULL, false},
    {"policy", "DIR", "apply this policy, not the demo's own", NULL, false},
};
const struct cli_command cmd_demo = {
    .name = "demo",
    .arguments = "",
    .summary = "make a demo company with 23,570 customers",
    .text =
        "Makes an installation and fills it, without serving it: the demo policy, and the "
        "customers\n"
        "of CDNOW, whose purchases from 1997 and 1998 are a public data set. What they consented "
        "to\n"
        "is invented by a rule that draws the same each time (docs/cli.md describes it).\n"
        "\n"
        "The file is looked for in ../shared/data/cdnow and .cache/cdnow. Consumer 00001 has "
        "always\n"
        "consented to personal offers from marketing, and the output says what to try with that.",
    CLI_OPTIONS(options),
    .run = run_demo,
};
