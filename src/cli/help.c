/* help.c - help on the terminal, from the table. */
#include <string.h>

#include "cli/cli.h"

enum { NAME_COLUMN = 20, OPTION_COLUMN = 24 };

static void print_command_line(const struct cli_command *command, FILE *out)
{
    fprintf(out, "  %-*s  %s\n", NAME_COLUMN, command->name, command->summary);
}

void help_overview(FILE *out)
{
    fputs("lov - asks before data is used: consents, decisions and the ledger of both\n\n"
          "usage: lov COMMAND [OPTION...] [ARGUMENT...]\n\ncommands:\n",
          out);
    for (size_t i = 0; i < cli_command_count; i++)
        print_command_line(cli_commands[i], out);
    fputs("\nEvery command takes --dir DIR (or LOV_DIR in the environment), --json and --help.\n"
          "Exit codes: 0 yes, 1 no, 2 wrong usage, 3 not available.\n",
          out);
}

bool help_group(const char *group, FILE *out)
{
    size_t n = strlen(group);
    bool any = false;
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i]->name;
        if (strncmp(name, group, n) != 0 || name[n] != ' ')
            continue;
        if (!any)
            fprintf(out, "usage: lov %s COMMAND [OPTION...]\n\ncommands:\n", group);
        any = true;
        print_command_line(cli_commands[i], out);
    }
    if (any)
        fprintf(out, "\nlov %s COMMAND --help says more.\n", group);
    return any;
}

static void print_option(const struct cli_option *o, FILE *out)
{
    char name[64];
    snprintf(name, sizeof name, "--%s%s%s", o->name, o->argument ? " " : "",
             o->argument ? o->argument : "");
    if (strlen(name) > OPTION_COLUMN)
        fprintf(out, "  %s\n  %-*s  %s", name, OPTION_COLUMN, "", o->help);
    else
        fprintf(out, "  %-*s  %s", OPTION_COLUMN, name, o->help);
    fputs(o->required ? " (required)\n" : "\n", out);
    if (o->choices)
        fprintf(out, "  %-*s  one of: %s\n", OPTION_COLUMN, "", o->choices);
}

void help_command(const struct cli_command *command, FILE *out)
{
    fprintf(out, "lov %s - %s\n\nusage: lov %s", command->name, command->summary, command->name);
    for (size_t i = 0; i < command->option_count; i++)
        if (command->options[i].required)
            fprintf(out, " --%s %s", command->options[i].name, command->options[i].argument);
    fprintf(out, " [OPTION...]%s%s\n\n%s\n\noptions:\n", *command->arguments ? " " : "",
            command->arguments, command->text);
    for (size_t i = 0; i < command->option_count; i++)
        print_option(&command->options[i], out);
    for (size_t i = 0; i < cli_common_count; i++)
        print_option(&cli_common[i], out);
}

/* Prints all commands, the commands of a group, or what one command does and how it is told what to
 * do. */
static int run_help(struct cli *c)
{
    char name[64];
    if (c->arg_count == 0) {
        help_overview(stdout);
        return CLI_YES;
    }
    snprintf(name, sizeof name, "%.30s%s%.30s", c->args[0], c->arg_count > 1 ? " " : "",
             c->arg_count > 1 ? c->args[1] : "");
    for (size_t i = 0; i < cli_command_count; i++) {
        if (strcmp(cli_commands[i]->name, name) == 0) {
            help_command(cli_commands[i], stdout);
            return CLI_YES;
        }
    }
    if (help_group(name, stdout))
        return CLI_YES;
    return cli_usage(c, "there is no command \"%s\": lov help lists them", name);
}

const struct cli_command cmd_help = {
    .name = "help",
    .arguments = "[COMMAND]",
    .most = 2,
    .summary = "say what a command does",
    .text = "Without a command, lists all of them. lov help consent lists those about consents.",
    .run = run_help,
};
