/* manual.c - lov man: the manual page (mdoc(7)) and the reference in Markdown, from the table. */
#include <string.h>

#include "cli/cli.h"

/* ---- mdoc ---- */

/* A line that starts with a dot or a quote would be a request; backslashes escape; a hyphen is no
 * minus. */
static void put_roff(struct str line, FILE *out)
{
    if (line.n && (line.p[0] == '.' || line.p[0] == '\''))
        fputs("\\&", out);
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] == '\\')
            fputs("\\e", out);
        else if (line.p[i] == '-')
            fputs("\\-", out);
        else
            fputc(line.p[i], out);
    }
    fputc('\n', out);
}

static void mdoc_text(const char *text, FILE *out)
{
    struct str rest = str_of(text);
    bool display = false;
    while (rest.n) {
        struct str line = str_cut(&rest, '\n');
        bool verbatim = str_starts(line, STR("  "));
        if (verbatim != display)
            fputs(verbatim ? ".Bd -literal -offset 2n\n" : ".Ed\n", out);
        display = verbatim;
        if (!line.n) {
            if (!str_starts(rest, STR("  ")))
                fputs(".Pp\n", out);
            continue;
        }
        if (verbatim)
            line = (struct str){line.p + 2, line.n - 2};
        put_roff(line, out);
    }
    if (display)
        fputs(".Ed\n", out);
}

static void mdoc_option(const struct cli_option *o, FILE *out)
{
    fprintf(out, ".It Fl \\-%s", o->name);
    if (o->argument)
        fprintf(out, " Ar %s", o->argument);
    fputc('\n', out);
    put_roff(str_of(o->help), out);
    if (o->required)
        fputs("(required)\n", out);
    if (o->choices) {
        fputs(".br\n", out);
        fprintf(out, "One of: %s\n", o->choices);
    }
}

static void mdoc_command(const struct cli_command *command, FILE *out)
{
    fprintf(out, ".Ss lov %s%s%s\n", command->name, *command->arguments ? " " : "",
            command->arguments);
    fprintf(out, "%c%s.\n.Pp\n", command->summary[0] - 'a' + 'A', command->summary + 1);
    mdoc_text(command->text, out);
    if (!command->option_count)
        return;
    fputs(".Bl -tag -width Ds\n", out);
    for (size_t i = 0; i < command->option_count; i++)
        mdoc_option(&command->options[i], out);
    fputs(".El\n", out);
}

static const char mdoc_head[] =
    ".Dd November 23, 2026\n"
    ".Dt LOV 1\n"
    ".Os Lov " LOV_VERSION "\n"
    ".Sh NAME\n"
    ".Nm lov\n"
    ".Nd asks before data is used: consents, decisions and the ledger of both\n"
    ".Sh SYNOPSIS\n"
    ".Nm\n"
    ".Ar command\n"
    ".Op Ar option ...\n"
    ".Op Ar argument ...\n"
    ".Sh DESCRIPTION\n"
    ".Nm\n"
    "keeps what a company's consumers have consented to, and answers whether a recipient may use\n"
    "one consumer's data of one category for one purpose.\n"
    "A command that concerns an installation talks to the server that holds it, over the socket "
    "in\n"
    "its folder, or opens the installation itself when no server runs; the answers are the same.\n"
    ".Pp\n"
    "Every command takes these options:\n"
    ".Bl -tag -width Ds\n";

static const char mdoc_tail[] =
    ".Sh ENVIRONMENT\n"
    ".Bl -tag -width Ds\n"
    ".It Ev LOV_DIR\n"
    "The folder of the installation, where\n"
    ".Fl \\-dir\n"
    "is not given.\n"
    ".It Ev LOV_API_KEY\n"
    "The API key with which\n"
    ".Ic policy propose\n"
    "calls a server elsewhere.\n"
    ".El\n"
    ".Sh FILES\n"
    ".Bl -tag -width Ds\n"
    ".It Pa DIR/key\n"
    "The key that opens everything personal in the stores.\n"
    ".It Pa DIR/key.next\n"
    "The key that takes its place, while it is being changed.\n"
    ".It Pa DIR/identity.db\n"
    "Who the consumers are.\n"
    ".It Pa DIR/lov.db\n"
    "Policy, consents and the ledger.\n"
    ".It Pa DIR/socket\n"
    "The server's local socket, while one runs.\n"
    ".It Pa DIR/log\\-level\n"
    "The server's log level, where it is to be another than its option says.\n"
    ".It Pa DIR/import/\n"
    "How far imports have come.\n"
    ".El\n"
    ".Sh EXIT STATUS\n"
    ".Bl -tag -width Ds\n"
    ".It 0\n"
    "Yes: permitted, done, in order.\n"
    ".It 1\n"
    "No: denied, refused, not found, or something was found to be wrong.\n"
    ".It 2\n"
    "The command was not used as it is meant to be.\n"
    ".It 3\n"
    "Not available: no installation, or it is locked and its server does not answer, or reading "
    "or\n"
    "writing failed.\n"
    ".El\n";

static void mdoc(FILE *out)
{
    fputs(mdoc_head, out);
    for (size_t i = 0; i < cli_common_count; i++)
        mdoc_option(&cli_common[i], out);
    fputs(".El\n.Sh COMMANDS\n", out);
    for (size_t i = 0; i < cli_command_count; i++)
        mdoc_command(cli_commands[i], out);
    fputs(mdoc_tail, out);
}

/* ---- Markdown ---- */

static void markdown_text(const char *text, FILE *out)
{
    struct str rest = str_of(text);
    bool code = false;
    while (rest.n) {
        struct str line = str_cut(&rest, '\n');
        bool verbatim = str_starts(line, STR("  "));
        if (verbatim != code && verbatim)
            fputs("```sh\n", out);
        else if (verbatim != code)
            fputs("```\n", out);
        code = verbatim;
        if (verbatim)
            line = (struct str){line.p + 2, line.n - 2};
        fprintf(out, "%.*s\n", STR_ARG(line));
    }
    fputs(code ? "```\n\n" : "\n", out);
}

static void markdown_option(const struct cli_option *o, FILE *out)
{
    fprintf(out, "- `--%s%s%s`: %s", o->name, o->argument ? " " : "",
            o->argument ? o->argument : "", o->help);
    if (o->choices)
        fprintf(out, "; one of: `%s`", o->choices);
    fputs(o->required ? " (required)\n" : "\n", out);
}

static void markdown(FILE *out)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *command = cli_commands[i];
        fprintf(out, "### `lov %s%s%s`\n\n%c%s.\n\n", command->name, *command->arguments ? " " : "",
                command->arguments, command->summary[0] - 'a' + 'A', command->summary + 1);
        markdown_text(command->text, out);
        for (size_t j = 0; j < command->option_count; j++)
            markdown_option(&command->options[j], out);
        if (command->option_count)
            fputc('\n', out);
    }
}

/* ---- the command ---- */

/* Prints the manual page. */
static int run_man(struct cli *c)
{
    if (cli_value(c, "markdown"))
        markdown(stdout);
    else
        mdoc(stdout);
    return CLI_YES;
}

static const struct cli_option options[] = {
    {"markdown", NULL, "print the commands in Markdown, as in docs/cli.md", NULL, false},
};
const struct cli_command cmd_man = {
    .name = "man",
    .arguments = "",
    .summary = "print the manual page",
    .text = "Made from the same table as --help.\n"
            "\n"
            "  lov man > lov.1 && man ./lov.1",
    CLI_OPTIONS(options),
    .run = run_man,
};
