/*-------------------------------------------------------------------------
 *
 * catalog_check.h
 *	  Checks that the extension's tables still have the columns and keys that
 *	  C code relies on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_CATALOG_CHECK_H
#define TTE_CATALOG_CHECK_H

#include "storage/lockdefs.h"
#include "utils/relcache.h"

/*
 * Opens a table of the extension.  Raises an error if the table, or a column or
 * key that the code relies on, is missing or changed.  The catalogs are read
 * once after each change.
 */
extern Relation tte_own_table_open(const char *name, LOCKMODE lockmode);

/* The same for a table that is open already. */
extern void tte_own_table_check(Relation rel);

/*
 * Returns what is wrong with a table, as text to follow its name in a message,
 * palloc'd.  NULL if nothing is wrong, or if the table is not checked here.
 */
extern const char *tte_own_table_problem(Relation rel);

/*
 * Returns a value of an SPI result.  Raises an error unless the column has that
 * type: a table may have been changed since it was checked.
 */
extern Datum tte_spi_value(uint64 row, int column, Oid type, bool *isnull);

#endif							/* TTE_CATALOG_CHECK_H */
