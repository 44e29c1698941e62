/*-------------------------------------------------------------------------
 *
 * catalog_check.h
 *	  Are the tables of the extension such as the code in C reads them?
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_CATALOG_CHECK_H
#define TTE_CATALOG_CHECK_H

#include "storage/lockdefs.h"
#include "utils/relcache.h"

/*
 * Opens a table of the extension; an error when it, or what the code relies on
 * of it, is missing or changed.  The catalogs are read once after each change.
 */
extern Relation tte_own_table_open(const char *name, LOCKMODE lockmode);

/* The same for a table that is open: raises the error. */
extern void tte_own_table_check(Relation rel);

/*
 * What is wrong with it, to follow its name in a message, palloc'd; NULL: nothing,
 * or it is none of the tables that are known here.
 */
extern const char *tte_own_table_problem(Relation rel);

/*
 * A value of the result of a query on the extension's tables.  An error unless
 * the column is of that type: somebody may have changed a table since it was
 * looked at.
 */
extern Datum tte_spi_value(uint64 row, int column, Oid type, bool *isnull);

#endif							/* TTE_CATALOG_CHECK_H */
