/*-------------------------------------------------------------------------
 *
 * rights.h
 *	  With whose rights user code runs when functions of the extension call it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_RIGHTS_H
#define TTE_RIGHTS_H

#include "utils/rel.h"

/* A search_path in which users cannot shadow objects of pg_catalog. */
#define TTE_SAFE_PATH	"pg_catalog, pg_temp"

typedef struct TteRights
{
	Oid			role;
	int			sec_context;
	int			guc_level;
} TteRights;

/*
 * Switches to that role, in a security-restricted operation, and to that
 * search_path unless it is NULL.  tte_rights_give_back() restores the role, and
 * settings that were changed meanwhile.  After an error the end of the
 * transaction or subtransaction restores them.
 */
extern void tte_rights_take(Oid role, const char *search_path, TteRights *saved);
extern void tte_rights_give_back(const TteRights *saved);

/* May the rows of a relation be read as its owner, for the current user?  Else why not. */
typedef enum TteReading
{
	TTE_READING_ALLOWED,
	TTE_READING_PRIVILEGE,		/* no SELECT */
	TTE_READING_ROW_SECURITY,
	TTE_READING_SUPERUSER,		/* owned by a superuser, who the current user
								 * is not */
	TTE_READING_BY_READER		/* its rows depend on the reader */
} TteReading;

/* columns: those to be read, with NULL at the end; or NULL for all. */
extern TteReading tte_reading(Relation rel, const char *const *columns);

/* Raises the error for a result other than TTE_READING_ALLOWED. */
extern void tte_reading_refuse(Relation rel, TteReading why);

/* Does the current user have the privileges of the owner? */
extern bool tte_has_rights_of_owner(Relation rel);

#endif							/* TTE_RIGHTS_H */
