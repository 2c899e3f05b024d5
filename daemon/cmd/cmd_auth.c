/*
 * auth: shows a token. No tokens are given out yet, so none is right.
 */
#include "cmd_private.h"

static void
exec(struct request *rq)
{
	request_fail(rq, ERR_UNAUTHENTICATED, NULL, "This token is not known here.");
}

static const struct field fields[] = {
    {.name = "token", .check = args_string, .required = true, .max = 4096},
    FIELD_END,
};

const struct cmd_entry cmd_auth = {.name = "auth", .fields = fields, .open = true, .exec = exec};
