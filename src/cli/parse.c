/* parse.c - from arguments to a command and its options, by the table. What is misspelt is answered
 * with the name that was probably meant: the one with the smallest edit distance. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* ---- did you mean ---- */

enum { WORD_MAX = 40, NEAR = 2 };

static int least_of(int a, int b, int c)
{
    int least = a < b ? a : b;
    return least < c ? least : c;
}

/* Edits (insert, delete, replace, swap two neighbours) from `a` to `b`. */
static int distance(const char *a, const char *b)
{
    int rows[3][WORD_MAX + 1];
    size_t la = strlen(a), lb = strlen(b);
    if (la > WORD_MAX || lb > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= lb; j++)
        rows[0][j] = (int)j;
    for (size_t i = 1; i <= la; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= lb; j++) {
            row[j] = least_of(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least_of(row[j], two_above[j - 2] + 1, row[j]);
        }
    }
    return rows[la % 3][lb];
}

struct guess {
    const char *word;
    int distance;
};

static void consider(struct guess *g, const char *given, const char *word)
{
    int d = distance(given, word);
    size_t n = strlen(given);
    bool near = d <= NEAR && (size_t)d < n;
    if (!near && n >= 3 && strncmp(given, word, n) == 0) {
        near = true;
        d = NEAR;
    }
    if (near && (!g->word || d < g->distance))
        *g = (struct guess){word, d};
}

static int unknown(struct cli *c, const char *kind, const char *prefix, const char *given,
                   const struct guess *g, const char *help)
{
    if (g->word)
        return cli_usage(c, "unknown %s \"%s%s\": did you mean %s%s?", kind, prefix, given, prefix,
                         g->word);
    return cli_usage(c, "unknown %s \"%s%s\": see lov %s", kind, prefix, given, help);
}

/* ---- the command ---- */

static const struct cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < cli_command_count; i++)
        if (strcmp(cli_commands[i]->name, name) == 0)
            return cli_commands[i];
    return NULL;
}

static bool is_group(const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i < cli_command_count; i++)
        if (strncmp(cli_commands[i]->name, word, n) == 0 && cli_commands[i]->name[n] == ' ')
            return true;
    return false;
}

static int unknown_command(struct cli *c, const char *word)
{
    struct guess g = {0};
    char first[WORD_MAX];
    for (size_t i = 0; i < cli_command_count; i++) {
        snprintf(first, sizeof first, "%.*s", (int)strcspn(cli_commands[i]->name, " "),
                 cli_commands[i]->name);
        int before = g.word ? g.distance : WORD_MAX;
        struct guess one = {0};
        consider(&one, word, first);
        if (one.word && one.distance < before)
            g = (struct guess){cli_commands[i]->name, one.distance};
    }
    if (g.word) {
        snprintf(first, sizeof first, "%.*s", (int)strcspn(g.word, " "), g.word);
        g.word = first;
    }
    return unknown(c, "command", "", word, &g, "help");
}

static int unknown_member(struct cli *c, const char *group, const char *word)
{
    struct guess g = {0};
    char prefix[WORD_MAX + 2];
    char help[WORD_MAX + 8];
    snprintf(prefix, sizeof prefix, "%.30s ", group);
    snprintf(help, sizeof help, "help %.30s", group);
    size_t n = strlen(prefix);
    for (size_t i = 0; i < cli_command_count; i++)
        if (strncmp(cli_commands[i]->name, prefix, n) == 0)
            consider(&g, word, cli_commands[i]->name + n);
    return unknown(c, "command", prefix, word, &g, help);
}

static bool asks_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* Sets c->command and *used, the number of words it took. */
static int find(struct cli *c, int argc, char **argv, int *used, bool *finished)
{
    char name[2 * WORD_MAX];
    *finished = true;
    if (argc < 2) {
        help_overview(stderr);
        return CLI_USAGE;
    }
    const char *word = argv[1];
    if (asks_help(word)) {
        help_overview(stdout);
        return CLI_YES;
    }
    if (strcmp(word, "--version") == 0)
        word = "version";
    *used = 2;
    c->command = find_command(word);
    if (!c->command && is_group(word)) {
        if (argc == 2 || asks_help(argv[2])) {
            help_group(word, argc == 2 ? stderr : stdout);
            return argc == 2 ? CLI_USAGE : CLI_YES;
        }
        snprintf(name, sizeof name, "%.30s %.40s", word, argv[2]);
        c->command = find_command(name);
        *used = 3;
        if (!c->command)
            return unknown_member(c, word, argv[2]);
    }
    if (!c->command)
        return unknown_command(c, word);
    *finished = false;
    return 0;
}

/* ---- options ---- */

static const struct cli_option *option_at(const struct cli_command *command, size_t i)
{
    if (i < command->option_count)
        return &command->options[i];
    i -= command->option_count;
    return i < cli_common_count ? &cli_common[i] : NULL;
}

static int unknown_option(struct cli *c, const char *word)
{
    struct guess g = {0};
    char help[2 * WORD_MAX];
    const struct cli_option *o;
    for (size_t i = 0; (o = option_at(c->command, i)); i++)
        consider(&g, word, o->name);
    snprintf(help, sizeof help, "%s --help", c->command->name);
    return unknown(c, "option", "--", word, &g, help);
}

static bool is_choice(const char *choices, const char *value)
{
    struct str rest = str_of(choices);
    while (rest.n)
        if (str_is(str_cut(&rest, ' '), value))
            return true;
    return false;
}

static int set_option(struct cli *c, size_t i, const char *value)
{
    const struct cli_option *o = option_at(c->command, i);
    if (c->values[i])
        return cli_usage(c, "--%s is given twice", o->name);
    if (o->choices && !is_choice(o->choices, value))
        return cli_usage(c, "--%s is one of: %s", o->name, o->choices);
    if (o->argument && !*value)
        return cli_usage(c, "--%s needs a value: %s", o->name, o->argument);
    c->values[i] = value;
    return 0;
}

/* `word` is behind "--". Takes the next argument where the option needs one. */
static int take_option(struct cli *c, char *word, int argc, char **argv, int *at)
{
    char name[WORD_MAX];
    char *equal = strchr(word, '=');
    size_t n = equal ? (size_t)(equal - word) : strlen(word);
    snprintf(name, sizeof name, "%.*s", (int)n, word);
    const struct cli_option *o;
    for (size_t i = 0; (o = option_at(c->command, i)); i++) {
        if (n >= sizeof name || strcmp(o->name, name) != 0)
            continue;
        if (!o->argument && equal)
            return cli_usage(c, "--%s takes no value", name);
        if (!o->argument)
            return set_option(c, i, "");
        if (equal)
            return set_option(c, i, equal + 1);
        if (*at + 1 >= argc)
            return cli_usage(c, "--%s needs a value: %s", name, o->argument);
        return set_option(c, i, argv[++*at]);
    }
    return unknown_option(c, name);
}

static int take_words(struct cli *c, int argc, char **argv, int at)
{
    bool words_only = false;
    for (; at < argc; at++) {
        char *word = argv[at];
        if (!words_only && strcmp(word, "--") == 0) {
            words_only = true;
        } else if (!words_only && strcmp(word, "-h") == 0) {
            word = (char[]){"help"};
            int rc = take_option(c, word, argc, argv, &at);
            if (rc)
                return rc;
        } else if (!words_only && word[0] == '-' && word[1]) {
            if (word[1] != '-')
                return cli_usage(c, "unknown option \"%s\": see lov %s --help", word,
                                 c->command->name);
            int rc = take_option(c, word + 2, argc, argv, &at);
            if (rc)
                return rc;
        } else if (c->arg_count == c->command->most) {
            return cli_usage(c, "\"%s\" is one argument too many: see lov %s --help", word,
                             c->command->name);
        } else {
            c->args[c->arg_count++] = word;
        }
    }
    return 0;
}

static int check_required(struct cli *c)
{
    for (size_t i = 0; i < c->command->option_count; i++) {
        const struct cli_option *o = &c->command->options[i];
        if (o->required && !c->values[i])
            return cli_usage(c, "say --%s %s: see lov %s --help", o->name, o->argument,
                             c->command->name);
    }
    if (c->arg_count < c->command->least)
        return cli_usage(c, "say %s: see lov %s --help", c->command->arguments, c->command->name);
    return 0;
}

/* So that a usage error is told as JSON wherever --json stands. */
static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

int cli_parse(struct cli *c, int argc, char **argv, bool *finished)
{
    int used = 0;
    c->json = wants_json(argc, argv);
    int rc = find(c, argc, argv, &used, finished);
    if (*finished)
        return rc;
    *finished = true;
    rc = take_words(c, argc, argv, used);
    if (rc)
        return rc;
    if (cli_value(c, "help")) {
        help_command(c->command, stdout);
        return CLI_YES;
    }
    rc = check_required(c);
    *finished = rc != 0;
    return rc;
}

/* ---- what was given ---- */

const char *cli_value(const struct cli *c, const char *name)
{
    const struct cli_option *o;
    for (size_t i = 0; (o = option_at(c->command, i)); i++)
        if (strcmp(o->name, name) == 0)
            return c->values[i];
    bug("the command %s has no option %s", c->command->name, name);
}

struct str cli_text(const struct cli *c, const char *name)
{
    return str_of(cli_value(c, name));
}

int cli_number(const struct cli *c, const char *name, int64_t min, int64_t max, int64_t *out,
               struct err *err)
{
    const char *value = cli_value(c, name);
    if (!value || str_to_int(str_of(value), min, max, out))
        return 0;
    return err_set(err, LOV_EINVAL, "--%s is a whole number from %lld to %lld", name,
                   (long long)min, (long long)max);
}

int cli_dir(const struct cli *c, const char **out, struct err *err)
{
    const char *dir = cli_value(c, "dir");
    if (!dir)
        dir = getenv("LOV_DIR");
    if (!dir || !*dir)
        return err_reason(err, LOV_EINVAL, "usage",
                          "say which installation: --dir DIR, or set LOV_DIR");
    *out = dir;
    return 0;
}
