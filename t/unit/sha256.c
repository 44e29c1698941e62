/*-------------------------------------------------------------------------
 *
 * sha256.c
 *	  Test of tte_sha256_hex() against other programs.
 *
 * Started with the argument "hash", it reads values, each behind its length
 * as four bytes, lowest first, and prints their hashes.  Started without, it
 * becomes sha256.py, which starts it so and compares.
 *
 *-------------------------------------------------------------------------
 */
#include "event/identity.h"

#include <unistd.h>

static bool
read_length(uint32 *len)
{
	unsigned char bytes[4];

	if (fread(bytes, 1, 4, stdin) != 4)
		return false;
	*len = bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (uint32) bytes[3] << 24;
	return true;
}

static int
print_hashes(void)
{
	char		hex[TTE_HEX_LEN + 1];
	uint32		len;

	while (read_length(&len))
	{
		char	   *value = palloc(len);

		if (fread(value, 1, len, stdin) != len)
			return 1;
		tte_sha256_hex(value, len, hex);
		pfree(value);
		puts(hex);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	char		script[MAXPGPATH];

	if (argc > 1 && strcmp(argv[1], "hash") == 0)
		return print_hashes();
	snprintf(script, sizeof(script), "%s.py", argv[0]);
	execlp("python3", "python3", script, argv[0], (char *) NULL);
	perror("python3");
	return 1;
}
