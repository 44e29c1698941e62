/*-------------------------------------------------------------------------
 *
 * replay.c
 *	  Runs a fuzz target on files, without libFuzzer.
 *
 *-------------------------------------------------------------------------
 */
#include "event/base.h"

#define LARGEST		(1024 * 1024)

extern int	LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

static uint8 data[LARGEST];

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
	{
		FILE	   *file = fopen(argv[i], "rb");

		if (file == NULL)
		{
			perror(argv[i]);
			return 1;
		}
		LLVMFuzzerTestOneInput(data, fread(data, 1, LARGEST, file));
		fclose(file);
	}
	return 0;
}
