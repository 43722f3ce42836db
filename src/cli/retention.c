/* retention.c - lov retention due. */
#include "cli/cli.h"

static void print_due(const json_t *item)
{
    const json_t *days = json_object_get(item, "retention_days");
    printf("%-20s  %lld records, ", json_cstr(item, "category"),
           (long long)json_integer_value(json_object_get(item, "records")));
    if (json_is_integer(days))
        printf("kept %lld days", (long long)json_integer_value(days));
    else
        printf("used by no activity");
    printf("; %lld due, %lld more within 30 days",
           (long long)json_integer_value(json_object_get(item, "due")),
           (long long)json_integer_value(json_object_get(item, "due_within_30_days")));
    if (json_integer_value(json_object_get(item, "on_hold")))
        printf("; %lld kept by legal holds",
               (long long)json_integer_value(json_object_get(item, "on_hold")));
    if (json_is_string(json_object_get(item, "first_due_at")))
        printf("; first %s", json_cstr(item, "first_due_at"));
    putchar('\n');
}

/* Prints what is kept how long. */
static int run_due(struct cli *c)
{
    _cleanup_answer struct cli_answer a = {0};
    int code = cli_ask(c, "GET", "/v1/retention", (struct str){0}, &a);
    if (code)
        return code;
    const json_t *items = json_object_get(a.json, "items");
    if (c->json)
        cli_print_json(&a);
    for (size_t i = 0; !c->json && i < json_array_size(items); i++)
        print_due(json_array_get(items, i));
    return CLI_YES;
}

const struct cli_command cmd_retention_due = {
    .name = "retention due",
    .arguments = "",
    .summary = "show how long records are kept, and what is due for deletion",
    .text = "One line a category of which there are records: how many there are, how long the\n"
            "policy keeps them, how many are due now and within 30 days, and when the first is.\n"
            "The server deletes what is due within seconds, and the ledger says so.",
    .run = run_due,
};
