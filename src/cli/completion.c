/* completion.c - lov completion bash: a script made from the table of commands. */
#include <string.h>

#include "cli/cli.h"

/* The first words of commands, each once (the table has groups together). */
static void put_first_words(FILE *out)
{
    struct str last = {0};
    for (size_t i = 0; i < cli_command_count; i++) {
        struct str rest = str_of(cli_commands[i]->name);
        struct str first = str_cut(&rest, ' ');
        if (!str_eq(first, last))
            fprintf(out, "%s%.*s", i ? " " : "", STR_ARG(first));
        last = first;
    }
}

static void put_groups(FILE *out)
{
    struct str last = {0};
    for (size_t i = 0; i < cli_command_count; i++) {
        struct str rest = str_of(cli_commands[i]->name);
        struct str group = str_cut(&rest, ' ');
        if (!rest.n)
            continue;
        if (!str_eq(group, last))
            fprintf(out, "%s    %.*s) members=\"%.*s", last.n ? "\" ;;\n" : "", STR_ARG(group),
                    STR_ARG(rest));
        else
            fprintf(out, " %.*s", STR_ARG(rest));
        last = group;
    }
    fputs("\" ;;\n", out);
}

static void put_options(const struct cli_option *options, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++)
        fprintf(out, "--%s ", options[i].name);
}

static void put_commands(FILE *out)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *c = cli_commands[i];
        fprintf(out, "    \"%s\") options=\"", c->name);
        put_options(c->options, c->option_count, out);
        put_options(cli_common, cli_common_count, out);
        fputs("\" ;;\n", out);
    }
}

static void put_choices(FILE *out)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *c = cli_commands[i];
        for (size_t j = 0; j < c->option_count; j++)
            if (c->options[j].choices)
                fprintf(out, "    \"%s --%s\") words=\"%s\" ;;\n", c->name, c->options[j].name,
                        c->options[j].choices);
    }
}

/* Options whose value is no path: nothing is offered for them. */
static void put_values(FILE *out)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *c = cli_commands[i];
        for (size_t j = 0; j < c->option_count; j++) {
            const struct cli_option *o = &c->options[j];
            if (o->argument && strcmp(o->argument, "FILE") != 0 && strcmp(o->argument, "DIR") != 0)
                fprintf(out, "    \"%s --%s\") return ;;\n", c->name, o->name);
        }
    }
}

/* Prints a completion script. */
static int run_completion(struct cli *c)
{
    if (strcmp(c->args[0], "bash") != 0)
        return cli_usage(c, "completion is made for bash: lov completion bash");
    fputs("# bash completion for lov: made by `lov completion bash`.\n"
          "_lov() {\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    local command=${COMP_WORDS[1]} members= options= words=\n"
          "    COMPREPLY=()\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        COMPREPLY=($(compgen -W \"",
          stdout);
    put_first_words(stdout);
    fputs("\" -- \"$current\"))\n        return\n    fi\n    case $command in\n", stdout);
    put_groups(stdout);
    fputs("    esac\n"
          "    if [[ $members ]]; then\n"
          "        if ((COMP_CWORD == 2)); then\n"
          "            COMPREPLY=($(compgen -W \"$members\" -- \"$current\"))\n"
          "            return\n"
          "        fi\n"
          "        command+=\" ${COMP_WORDS[2]}\"\n"
          "    fi\n"
          "    case \"$command $previous\" in\n",
          stdout);
    put_choices(stdout);
    fputs("    esac\n"
          "    if [[ $words ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
          "        return\n"
          "    fi\n"
          "    case \"$command $previous\" in\n",
          stdout);
    put_values(stdout);
    fputs("    esac\n    case $command in\n", stdout);
    put_commands(stdout);
    fputs("    esac\n"
          "    if [[ $current == -* ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
          "    else\n"
          "        COMPREPLY=($(compgen -f -- \"$current\"))\n"
          "    fi\n"
          "}\n"
          "complete -o filenames -F _lov lov\n",
          stdout);
    return CLI_YES;
}

const struct cli_command cmd_completion = {
    .name = "completion",
    .arguments = "bash",
    .least = 1,
    .most = 1,
    .summary = "print a completion script for bash",
    .text = "  lov completion bash > ~/.local/share/bash-completion/completions/lov",
    .run = run_completion,
};
