/* policy.c - lov policy check|diff|propose|apply|show|history. */
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "policy/policy.h"

/* ---- check ---- */

/* "file:line: severity: rule: text", as compilers write it, so that editors find the place. */
static void print_finding(const char *folder, const char *file, long long line,
                          const char *severity, const char *rule, const char *text)
{
    printf("%s%s%s", folder, *folder && folder[strlen(folder) - 1] != '/' ? "/" : "", file);
    if (line > 0)
        printf(":%lld", line);
    printf(": %s: %s: %s\n", severity, rule, text);
}

static void print_findings(const char *folder, const json_t *findings)
{
    size_t i;
    json_t *f;
    json_array_foreach(findings, i, f)
        print_finding(folder, json_cstr(f, "file"), json_integer_value(json_object_get(f, "line")),
                      json_cstr(f, "severity"), json_cstr(f, "rule"), json_cstr(f, "text"));
}

static void findings_json(const struct policy_findings *f, bool ok)
{
    _cleanup_buf struct buf out = {0};
    struct jw w = {.out = &out};
    jw_object_start(&w);
    jw_bool_member(&w, "ok", ok);
    jw_array_member(&w, "findings");
    for (size_t i = 0; i < f->count; i++) {
        jw_object_start(&w);
        jw_cstr_member(&w, "severity", f->items[i].severity == POLICY_ERROR ? "error" : "warning");
        jw_str_member(&w, "file", f->items[i].file);
        jw_int_member(&w, "line", f->items[i].line);
        jw_cstr_member(&w, "rule", f->items[i].rule);
        jw_str_member(&w, "text", f->items[i].text);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    puts(out.p);
}

static void findings_text(const char *folder, const struct policy_findings *f, bool ok)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct policy_finding *item = &f->items[i];
        _cleanup_buf struct buf file = {0}, text = {0};
        buf_str(&file, item->file);
        buf_str(&text, item->text);
        print_finding(folder, file.n ? file.p : "", item->line,
                      item->severity == POLICY_ERROR ? "error" : "warning", item->rule,
                      text.n ? text.p : "");
    }
    if (ok)
        printf("%s: the policy is in order\n", folder);
}

/* Reads a folder of policy files and says what is wrong with them. */
static int run_check(struct cli *c)
{
    struct err err = {0};
    struct policy_bundle bundle = {0};
    struct policy_findings findings = {0};
    struct policy *policy = NULL;
    int rc = policy_bundle_read(c->args[0], &bundle, &err);
    if (rc == 0) {
        rc = policy_compile(&bundle, NULL, 0, clock_now(), &policy, &findings, &err);
        if (rc == 0 || findings.count)
            (c->json ? findings_json(&findings, rc == 0)
                     : findings_text(c->args[0], &findings, rc == 0));
    }
    int code = CLI_YES;
    if (rc || findings.errors)
        code = findings.errors ? CLI_NO : cli_fail(c, &err);
    policy_unref(policy);
    policy_findings_free(&findings);
    policy_bundle_free(&bundle);
    return code;
}

const struct cli_command cmd_policy_check = {
    .name = "policy check",
    .arguments = "PATH",
    .least = 1,
    .most = 1,
    .summary = "check a folder of policy files",
    .text =
        "Needs no installation. Prints one line a finding, as compilers do: file:line: severity:\n"
        "rule: what is wrong and what to do. The exit code is 1 when one of them is an error;\n"
        "warnings alone leave it 0. docs/policy.md explains each rule.",
    .run = run_check,
};

/* ---- diff, propose and apply ---- */

/* Sends the folder, if one is named, to `target`, with `more` (a member, or empty). Findings are
 * printed where the policy does not pass. */
static int send_folder(struct cli *c, const char *target, struct str more, struct cli_answer *out)
{
    struct err err = {0};
    _cleanup_buf struct buf body = {0};
    struct policy_bundle bundle = {0};
    struct cli_answer a = {0};
    int rc = c->arg_count ? policy_bundle_read(c->args[0], &bundle, &err) : 0;
    if (rc == 0 && c->arg_count)
        policy_bundle_to_json(&bundle, &body);
    else
        buf_cstr(&body, "{}");
    if (more.n) {
        body.n--; /* opens the object again */
        buf_printf(&body, "%s%.*s}", c->arg_count ? "," : "", STR_ARG(more));
    }
    policy_bundle_free(&bundle);
    struct cli_request request = {.method = "POST", .target = target, .body = buf_view(&body)};
    if (rc == 0)
        rc = cli_open(c, &err);
    if (rc == 0)
        rc = cli_call(c, &request, &a, &err);
    if (rc)
        return cli_fail(c, &err);
    *out = a;
    if (a.status >= 200 && a.status < 300)
        return CLI_YES;
    int code = cli_problem(c, &a);
    if (!c->json)
        print_findings(c->arg_count ? c->args[0] : "", json_object_get(a.json, "findings"));
    return code;
}

static long long number(const json_t *object, const char *member)
{
    return (long long)json_integer_value(json_object_get(object, member));
}

static void print_change(const json_t *change)
{
    const char *detail = json_cstr(change, "detail");
    bool material = json_is_true(json_object_get(change, "material"));
    printf("%-7s  %s %s%s%s%s\n", json_cstr(change, "kind"), json_cstr(change, "what"),
           json_cstr(change, "id"), material ? " (material)" : "", *detail ? ": " : "", detail);
    if (*json_cstr(change, "recipient"))
        printf("         %s by %s: %lld consumers and %lld consents affected, "
               "%lld permits lost, %lld won\n",
               json_cstr(change, "purpose"), json_cstr(change, "recipient"),
               number(change, "consumers"), number(change, "consents"),
               number(change, "permits_lost"), number(change, "permits_won"));
    if (strcmp(json_cstr(change, "what"), "law") == 0)
        printf("         covers %lld consumers: %lld of them and %lld consents affected, "
               "%lld permits lost, %lld won\n",
               number(change, "covered"), number(change, "consumers"), number(change, "consents"),
               number(change, "permits_lost"), number(change, "permits_won"));
}

static const struct cli_option diff_options[] = {
    {"as-of", "DATE", "with the laws as they stand then, and the decisions of then", NULL, false},
};

/* Says what applying a folder, or the passing of time, would change, and for how many. */
static int run_diff(struct cli *c)
{
    size_t i;
    json_t *change;
    _cleanup_answer struct cli_answer a = {0};
    _cleanup_buf struct buf more = {0};
    struct err err = {0};
    int32_t day;
    if (c->values[0] && !date_parse(str_of(c->values[0]), &day)) {
        err_set(&err, LOV_EINVAL, "--as-of: \"%s\" is not a date such as 2030-12-31", c->values[0]);
        return cli_fail(c, &err);
    }
    if (!c->values[0] && !c->arg_count) {
        err_set(&err, LOV_EINVAL, "name a folder, or a day: lov policy diff --as-of 2030-12-31");
        return cli_fail(c, &err);
    }
    if (c->values[0])
        buf_printf(&more, "\"as_of\":\"%s\"", c->values[0]);
    int code = send_folder(c, "/v1/policy/diff", buf_view(&more), &a);
    if (code)
        return code;
    const json_t *changes = json_object_get(a.json, "changes");
    if (c->json)
        cli_print_json(&a);
    else if (json_array_size(changes) == 0)
        printf("no change\n");
    else
        json_array_foreach(changes, i, change)
            print_change(change);
    return CLI_YES;
}

const struct cli_command cmd_policy_diff = {
    .name = "policy diff",
    .arguments = "[PATH]",
    .most = 1,
    .summary = "say what a folder of policy files, or a day to come, would change",
    .text =
        "Compares the folder with the policy in force, and says for each activity, notice and law\n"
        "that changes how many consumers and consents it affects. With --as-of and no folder it\n"
        "says what the policy in force will be on that day, by the changes of laws that it\n"
        "schedules. Changes nothing.",
    CLI_OPTIONS(diff_options),
    .run = run_diff,
};

/* Lays a folder before a member of staff, who approves it at the console. */
static int run_propose(struct cli *c)
{
    struct err err = {0};
    _cleanup_answer struct cli_answer a = {0};
    const char *url = cli_value(c, "url");
    if (url && cli_open_url(c, url, &err))
        return cli_fail(c, &err);
    int code = send_folder(c, "/v1/policy/proposals", (struct str){0}, &a);
    if (code)
        return code;
    if (c->json) {
        cli_print_json(&a);
        return CLI_YES;
    }
    print_findings(c->args[0], json_object_get(a.json, "findings"));
    printf("proposal %s of %s waits until %s: /console/policy/proposals/%s\n",
           json_cstr(a.json, "id"), json_cstr(a.json, "hash"), json_cstr(a.json, "expires_at"),
           json_cstr(a.json, "id"));
    return CLI_YES;
}

static const struct cli_option propose_options[] = {
    {"url", "URL", "a server elsewhere; its API key is in LOV_API_KEY", NULL, false},
};
const struct cli_command cmd_policy_propose = {
    .name = "policy propose",
    .arguments = "PATH",
    .least = 1,
    .most = 1,
    .summary = "propose a folder of policy files for approval",
    .text =
        "Checks the files and keeps them for 14 days, until somebody else approves them at the\n"
        "console or another policy comes into force. For a deployment from elsewhere set\n"
        "LOV_API_KEY to an API key that may write policies, and say --url https://HOST.",
    CLI_OPTIONS(propose_options),
    .run = run_propose,
};

/* Puts a folder's policy in force. */
static int run_apply(struct cli *c)
{
    _cleanup_answer struct cli_answer a = {0};
    struct str alone = cli_value(c, "alone") ? STR("\"alone\":true") : (struct str){0};
    int code = send_folder(c, "/v1/policy", alone, &a);
    if (code)
        return code;
    if (c->json) {
        cli_print_json(&a);
        return CLI_YES;
    }
    print_findings(c->args[0], json_object_get(a.json, "findings"));
    printf("policy version %lld is in force\n", number(a.json, "version"));
    return CLI_YES;
}

static const struct cli_option apply_options[] = {
    {"alone", NULL, "without the approval of a second person; the console shows it", NULL, false},
};
const struct cli_command cmd_policy_apply = {
    .name = "policy apply",
    .arguments = "PATH",
    .least = 1,
    .most = 1,
    .summary = "put a folder of policy files in force",
    .text =
        "Checks the files, stores them as the next version and puts that in force, in one step,\n"
        "recorded in the ledger. A server that runs goes on without a restart. Once two members of\n"
        "staff may approve policies, use lov policy propose: applying without an approval takes\n"
        "--alone, and the console shows it for 14 days.",
    CLI_OPTIONS(apply_options),
    .run = run_apply,
};

/* ---- show and history ---- */

static void print_ids(const json_t *policy, const char *member, const char *title)
{
    size_t i;
    json_t *item;
    const json_t *items = json_object_get(policy, member);
    printf("%s (%zu):", title, json_array_size(items));
    json_array_foreach(items, i, item)
        printf(" %s", json_cstr(item, "id"));
    putchar('\n');
}

static void print_activity(const json_t *a)
{
    const char *law;
    size_t i;
    json_t *item;
    printf("  %s: %s by %s,", json_cstr(a, "id"), json_cstr(a, "purpose"),
           json_cstr(a, "recipient"));
    json_array_foreach(json_object_get(a, "categories"), i, item)
        printf(" %s", json_string_value(item));
    json_object_foreach(json_object_get(a, "basis"), law, item)
        printf("%s%s %s",
               law == json_object_iter_key(json_object_iter(json_object_get(a, "basis"))) ? "; "
                                                                                          : ", ",
               law, json_string_value(item));
    putchar('\n');
}

/* Shows the policy in force. */
static int run_show(struct cli *c)
{
    size_t i;
    json_t *item;
    _cleanup_answer struct cli_answer a = {0};
    int code = cli_ask(c, "GET", "/v1/policy", (struct str){0}, &a);
    if (code)
        return code;
    if (c->json) {
        cli_print_json(&a);
        return CLI_YES;
    }
    printf("policy version %lld, hash %s\n", number(a.json, "version"), json_cstr(a.json, "hash"));
    print_ids(a.json, "categories", "categories");
    print_ids(a.json, "purposes", "purposes");
    print_ids(a.json, "recipients", "recipients");
    print_ids(a.json, "laws", "laws");
    print_ids(a.json, "notices", "notices");
    printf("activities (%zu):\n", json_array_size(json_object_get(a.json, "activities")));
    json_array_foreach(json_object_get(a.json, "activities"), i, item)
        print_activity(item);
    return CLI_YES;
}

const struct cli_command cmd_policy_show = {
    .name = "policy show",
    .arguments = "",
    .summary = "show the policy in force",
    .text = "An outline; with --json everything.",
    .run = run_show,
};

static void print_version(struct cli *c, const json_t *v)
{
    (void)c;
    printf("%lld  %s  %s  %s\n", number(v, "version"), json_cstr(v, "applied_at"),
           json_cstr(v, "actor"), json_cstr(v, "hash"));
}

/* Lists the versions of the policy. */
static int run_history(struct cli *c)
{
    return cli_list(c, "/v1/policy/history", NULL, 0, print_version);
}

const struct cli_command cmd_policy_history = {
    .name = "policy history",
    .arguments = "",
    .summary = "list the versions of the policy",
    .text = "Newest first: version, when it was applied, by whom, and its hash.",
    .run = run_history,
};
