/* commands.c - the one table of commands; each row stands in the command's own file. */
#include "cli/cli.h"

const struct cli_command *const cli_commands[] = {
    &cmd_init,
    &cmd_demo,
    &cmd_serve,
    &cmd_check,
    &cmd_consent_give,
    &cmd_consent_refuse,
    &cmd_consent_withdraw,
    &cmd_consent_renew,
    &cmd_consent_amend,
    &cmd_consent_list,
    &cmd_receipt_get,
    &cmd_receipt_verify,
    &cmd_account_invite,
    &cmd_account_allow,
    &cmd_account_disallow,
    &cmd_consumer_shred,
    &cmd_policy_check,
    &cmd_policy_diff,
    &cmd_policy_apply,
    &cmd_policy_show,
    &cmd_policy_history,
    &cmd_import_consents,
    &cmd_import_consumers,
    &cmd_log_show,
    &cmd_log_verify,
    &cmd_log_root,
    &cmd_log_checkpoint,
    &cmd_log_proof,
    &cmd_log_audit,
    &cmd_key_create,
    &cmd_key_revoke,
    &cmd_key_list,
    &cmd_key_log,
    &cmd_key_rotate,
    &cmd_backup,
    &cmd_restore,
    &cmd_version,
    &cmd_help,
    &cmd_completion,
    &cmd_man,
};
const size_t cli_command_count = sizeof cli_commands / sizeof *cli_commands;

const struct cli_option cli_common[] = {
    {"dir", "DIR", "the folder of the installation (otherwise LOV_DIR)", NULL, false},
    {"json", NULL, "print JSON, and problems as JSON on stderr", NULL, false},
    {"help", NULL, "print what this command does, and stop", NULL, false},
};
const size_t cli_common_count = sizeof cli_common / sizeof *cli_common;
