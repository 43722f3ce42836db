/* staff.c - lov staff invite|link|list|change|training|disable: who works with the console. */
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"

static void target_of(struct buf *target, const char *id, const char *rest)
{
    buf_cstr(target, "/v1/staff/");
    target_add(target, str_of(id));
    buf_cstr(target, rest);
}

static void names_member(struct jw *w, const char *name, struct str list)
{
    _cleanup_buf struct buf names = {0};
    names_to_json(list, &names);
    jw_key(w, name);
    jw_raw(w, buf_view(&names));
}

/* Adds a member of staff, and prints the link with which they make their account. */
static int run_invite(struct cli *c)
{
    struct err err = {0};
    _cleanup_buf struct buf body = {0};
    struct str trained = cli_text(c, "trained-until"), departments = cli_text(c, "for");
    int64_t hours = 72;
    if (cli_number(c, "hours", 1, 720, &hours, &err))
        return cli_fail(c, &err);
    struct jw w = {.out = &body};
    jw_object_start(&w);
    jw_cstr_member(&w, "name", c->args[0]);
    names_member(&w, "roles", cli_text(c, "roles"));
    if (departments.n)
        names_member(&w, "recipients", departments);
    if (trained.n)
        jw_str_member(&w, "trained_until", trained);
    jw_int_member(&w, "hours", hours);
    jw_object_end(&w);
    return cli_link(c, "/v1/staff", buf_view(&body));
}

static const struct cli_option invite_options[] = {
    {"roles", "ROLES", "what they do, apart by commas", NULL, true},
    {"for", "RECIPIENTS", "departments for which they look at data, apart by commas", NULL, false},
    {"trained-until", "DATE", "the last day on which their training holds", NULL, false},
    {"hours", "N", "how long the link is good; 72 when not given", NULL, false},
};
const struct cli_command cmd_staff_invite = {
    .name = "staff invite",
    .arguments = "NAME",
    .least = 1,
    .most = 1,
    .summary = "let a member of staff into the console",
    .text =
        "Prints the link with which they make their account at the console, to be sent by a "
        "channel\n"
        "that reaches nobody else. Roles are admin, privacy_officer, analyst, support, marketing\n"
        "and auditor; of several, one is worked in at a time. Whoever is to look at consumers'\n"
        "data does so for a department of the policy. Until a training is recorded the console\n"
        "stays closed to them.",
    CLI_OPTIONS(invite_options),
    .run = run_invite,
};

/* A new link for somebody who is there already. */
static int run_link(struct cli *c)
{
    struct err err = {0};
    _cleanup_buf struct buf body = {0}, target = {0};
    int64_t hours = 72;
    if (cli_number(c, "hours", 1, 720, &hours, &err))
        return cli_fail(c, &err);
    target_of(&target, c->args[0], "/invitations");
    struct jw w = {.out = &body};
    jw_object_start(&w);
    jw_int_member(&w, "hours", hours);
    jw_object_end(&w);
    return cli_link(c, target.p, buf_view(&body));
}

static const struct cli_option link_options[] = {
    {"hours", "N", "how long the link is good; 72 when not given", NULL, false},
};
const struct cli_command cmd_staff_link = {
    .name = "staff link",
    .arguments = "ID",
    .least = 1,
    .most = 1,
    .summary = "make a new link for a member of staff",
    .text = "For a password that was forgotten: whoever opens it chooses another one, and all "
            "sessions\n"
            "end. A passkey that was made is still asked for.",
    CLI_OPTIONS(link_options),
    .run = run_link,
};

static void print_names(const char *what, const json_t *names)
{
    size_t i;
    const json_t *name;
    json_array_foreach(names, i, name)
        printf("%s%s", i ? "," : what, json_string_value(name));
}

static void print_staff(struct cli *c, const json_t *s)
{
    (void)c;
    const char *disabled = json_cstr(s, "disabled_at"), *trained = json_cstr(s, "trained_until");
    printf("%s  ", json_cstr(s, "id"));
    print_names("", json_object_get(s, "roles"));
    print_names(" for ", json_object_get(s, "recipients"));
    printf("  %s  %s%s", json_cstr(s, "name"), *trained ? "trained until " : "not trained",
           trained);
    const char *last = json_cstr(s, "signed_in_at");
    bool account = json_is_true(json_object_get(s, "has_account"));
    printf("%s%s%s%s%s\n", account || *disabled ? "" : ", no account yet",
           *last ? ", signed in " : "", last, *disabled ? ", disabled " : "", disabled);
}

/* Lists staff, those who were disabled too. */
static int run_list(struct cli *c)
{
    return cli_list(c, "/v1/staff", NULL, 0, print_staff);
}

const struct cli_command cmd_staff_list = {
    .name = "staff list",
    .arguments = "",
    .summary = "list the staff",
    .text =
        "Lists everybody who may work with the console: their id, by which the log knows them, "
        "their\n"
        "roles, departments, name, until when their training holds, and when they last signed in.",
    .run = run_list,
};

/* Changes what a member of staff is. */
static int run_change(struct cli *c)
{
    _cleanup_buf struct buf target = {0}, body = {0};
    _cleanup_answer struct cli_answer a = {0};
    const char *roles = cli_value(c, "roles"), *departments = cli_value(c, "for");
    const char *trained = cli_value(c, "trained-until");
    target_of(&target, c->args[0], "/change");
    struct jw w = {.out = &body};
    jw_object_start(&w);
    if (roles)
        names_member(&w, "roles", str_of(roles));
    if (departments)
        names_member(&w, "recipients",
                     strcmp(departments, "-") == 0 ? STR("") : str_of(departments));
    if (trained)
        jw_cstr_member(&w, "trained_until", trained);
    jw_object_end(&w);
    int code = cli_ask(c, "POST", target.p, buf_view(&body), &a);
    if (code)
        return code;
    if (c->json)
        cli_print_json(&a);
    else
        print_staff(c, a.json);
    return CLI_YES;
}

static const struct cli_option change_options[] = {
    {"roles", "ROLES", "what they do from now on, apart by commas", NULL, false},
    {"for", "RECIPIENTS", "departments for which they look at data; - for none", NULL, false},
    {"trained-until", "DATE", "the last day on which their training holds", NULL, false},
};
const struct cli_command cmd_staff_change = {
    .name = "staff change",
    .arguments = "ID",
    .least = 1,
    .most = 1,
    .summary = "change the roles and departments of a member of staff",
    .text = "What is not given stays. With other roles all their sessions end, and they sign in "
            "again.\n"
            "The last admin stays one.",
    CLI_OPTIONS(change_options),
    .run = run_change,
};

/* Records a training. */
static int run_training(struct cli *c)
{
    _cleanup_buf struct buf target = {0}, body = {0};
    _cleanup_answer struct cli_answer a = {0};
    target_of(&target, c->args[0], "/training");
    struct jw w = {.out = &body};
    jw_object_start(&w);
    jw_cstr_member(&w, "trained_until", cli_value(c, "until"));
    jw_object_end(&w);
    int code = cli_ask(c, "POST", target.p, buf_view(&body), &a);
    if (code)
        return code;
    return cli_say(c, &a, "%s is trained until %s\n", json_cstr(a.json, "name"),
                   json_cstr(a.json, "trained_until"));
}

static const struct cli_option training_options[] = {
    {"until", "DATE", "the last day on which it holds", NULL, true},
};
const struct cli_command cmd_staff_training = {
    .name = "staff training",
    .arguments = "ID",
    .least = 1,
    .most = 1,
    .summary = "record until when a member of staff is trained",
    .text = "From the day after on the console refuses them, whatever they are doing, until "
            "another\n"
            "training is recorded.",
    CLI_OPTIONS(training_options),
    .run = run_training,
};

/* Keeps somebody out, for good. */
static int run_disable(struct cli *c)
{
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    target_of(&target, c->args[0], "/disable");
    int code = cli_ask(c, "POST", target.p, (struct str){0}, &a);
    if (code)
        return code;
    return cli_say(c, &a, "%s is kept out from now on\n", json_cstr(a.json, "name"));
}

const struct cli_command cmd_staff_disable = {
    .name = "staff disable",
    .arguments = "ID",
    .least = 1,
    .most = 1,
    .summary = "keep a member of staff out",
    .text = "Ends their sessions, links and password at once, for good. What they did stays in the "
            "log\n"
            "under their id.",
    .run = run_disable,
};
