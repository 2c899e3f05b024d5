/*
 * taskctld. Everything is in server.c and below it.
 */
#include "server.h"

int
main(int argc, char **argv)
{
	return server_main(argc, argv);
}
