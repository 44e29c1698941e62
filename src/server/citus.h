/*-------------------------------------------------------------------------
 *
 * citus.h
 *	  Tables that Citus distributes over several servers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_CITUS_H
#define TTE_CITUS_H

typedef enum TteDistributed
{
	TTE_NOT_DISTRIBUTED,		/* its rows are on this server */
	TTE_CITUS_REFERENCE,		/* copied to every server */
	TTE_CITUS_DISTRIBUTED
} TteDistributed;

/* The distributed table that a shard is a part of; of another table, itself. */
extern Oid	tte_citus_table(Oid relid);

/* How Citus keeps a table that is no shard. */
extern TteDistributed tte_citus_distributed(Oid relid);

#endif							/* TTE_CITUS_H */
