/*
 * /bin/true without a dynamic linker: the least that a task can be. Built static.
 */
int
main(void)
{
	return 0;
}
