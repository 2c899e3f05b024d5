/*
 * The list of commands.
 */
#include <stddef.h>

#include "cmd_private.h"

#define CMD_POINTER(name) &cmd_##name,

const struct cmd_entry *const cmd_table[] = {PROTO_COMMANDS(CMD_POINTER) NULL};
