/*
 * Base64 (RFC 4648), for output that is no text.
 */
#ifndef TASKCTL_BASE64_H
#define TASKCTL_BASE64_H

#include <stddef.h>

/* The encoded bytes as a string; the caller's to free. */
char *base64_encode(const void *data, size_t len);

#endif
