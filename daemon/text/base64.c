/*
 * Encodes three bytes as four letters.
 */
#include "base64.h"

#include <stdint.h>

#include "util.h"

char *
base64_encode(const void *data, size_t len)
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = data;
	char *out = xmalloc((len + 2) / 3 * 4 + 1), *p = out;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)in[i] << 16;

		if (i + 1 < len)
			v |= (uint32_t)in[i + 1] << 8;
		if (i + 2 < len)
			v |= in[i + 2];
		*p++ = letters[v >> 18];
		*p++ = letters[v >> 12 & 63];
		*p++ = i + 1 < len ? letters[v >> 6 & 63] : '=';
		*p++ = i + 2 < len ? letters[v & 63] : '=';
	}
	*p = '\0';
	return out;
}
