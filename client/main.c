/* taskctl's main: everything else is in the archive, so that tests can link it. */
#include "client.h"

int
main(int argc, char **argv)
{
	return client_main(argc, argv);
}
