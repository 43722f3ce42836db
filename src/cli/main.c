/* main.c - the program. */
#include <signal.h>

#include "cli/cli.h"

int main(int argc, char **argv)
{
    struct cli c = {.log = {.fd = 2, .level = LOG_ERROR}};
    bool finished = false;
    /* A reader that goes away is an error of write(2), not a reason to die. */
    signal(SIGPIPE, SIG_IGN);
    int code = cli_parse(&c, argc, argv, &finished);
    if (!finished) {
        code = c.command->run(&c);
        cli_close(&c);
    }
    if (fflush(stdout) != 0 && code == CLI_YES)
        code = CLI_UNAVAILABLE;
    return code;
}
