/* version.c - lov version. */
#include "cli/cli.h"

/* Prints the program's version. */
static int run_version(struct cli *c)
{
    if (c->json)
        puts("{\"version\":\"" LOV_VERSION "\"}");
    else
        puts("lov " LOV_VERSION);
    return CLI_YES;
}

const struct cli_command cmd_version = {
    .name = "version",
    .arguments = "",
    .summary = "print the program's version",
    .text = "Prints lov and the version on one line.",
    .run = run_version,
};
