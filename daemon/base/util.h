/*
 * Small helpers that everything uses: allocation that cannot fail, a growing byte buffer, numbers.
 *
 * The x functions write one line to stderr and abort when memory is out. They are for small things
 * and for things whose size was bounded before.
 */
#ifndef TASKCTL_UTIL_H
#define TASKCTL_UTIL_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#ifndef MIN
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#endif

#define NS_PER_SEC INT64_C(1000000000)
#define NS_PER_MS  INT64_C(1000000)

_Noreturn void die_oom(void); /* the one way out when memory is out */

/* As the functions without the x; what they give is for free(). */
void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

/* Closes *fd unless it is negative, sets it to -1, leaves errno alone. */
void close_fd(int *fd);

/* The whole of s as a decimal number with an optional sign: 0, -EINVAL or -ERANGE. */
int str_to_int64(const char *s, int64_t *value);

/*
 * A byte buffer that grows. `s` is NULL as long as nothing was added, after that it holds `len`
 * bytes and always a NUL behind them. STRBUF_INIT or all bytes zero is an empty buffer.
 */
struct strbuf {
	char *s;
	size_t len, cap;
};

#define STRBUF_INIT        \
	{                  \
		NULL, 0, 0 \
	}

void strbuf_init(struct strbuf *b);
void strbuf_release(struct strbuf *b); /* frees; the buffer is empty and usable again */
void strbuf_reset(struct strbuf *b);   /* empties, keeps the memory */
void strbuf_reserve(struct strbuf *b, size_t extra); /* room for that many more bytes */
void strbuf_add(struct strbuf *b, const void *data, size_t len);
void strbuf_adds(struct strbuf *b, const char *s);
void strbuf_addch(struct strbuf *b, int ch);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *strbuf_detach(struct strbuf *b);          /* the caller's to free(); never NULL */
const char *strbuf_str(const struct strbuf *b); /* never NULL; valid until the next change */

#endif
