/*-------------------------------------------------------------------------
 *
 * rights.h
 *	  Whose rights code of a user has, when functions of the extension run it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_RIGHTS_H
#define TTE_RIGHTS_H

#include "utils/rel.h"

/* The search_path in which nobody can put anything in the way. */
#define TTE_SAFE_PATH	"pg_catalog, pg_temp"

typedef struct TteRights
{
	Oid			role;
	int			sec_context;
	int			guc_level;
} TteRights;

/*
 * From here on, everything runs as that role, under a security-restricted
 * operation, and in that search_path unless it is NULL.  Settings that are
 * changed meanwhile are changed back with the rights.  An error gives them
 * back, too, as it ends the transaction or subtransaction.
 */
extern void tte_rights_take(Oid role, const char *search_path, TteRights *saved);
extern void tte_rights_give_back(const TteRights *saved);

/* Why the rows of a relation are not read, as its owner, for the current user. */
typedef enum TteReading
{
	TTE_READING_ALLOWED,
	TTE_READING_PRIVILEGE,		/* no SELECT */
	TTE_READING_ROW_SECURITY,
	TTE_READING_SUPERUSER,		/* owns it, and the current user is none */
	TTE_READING_BY_READER		/* what is in it depends on who reads it */
} TteReading;

/* The columns that are read, NULL at the end; or NULL for all. */
extern TteReading tte_reading(Relation rel, const char *const *columns);

/* Raises the error that says so. */
extern void tte_reading_refuse(Relation rel, TteReading why);

/* May the current user do whatever the owner may? */
extern bool tte_has_rights_of_owner(Relation rel);

#endif							/* TTE_RIGHTS_H */
