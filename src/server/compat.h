/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Every difference between the supported versions of PostgreSQL and of
 *	  libcurl.  The rest of the code is written against the newest signatures.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_COMPAT_H
#define TTE_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "tiktok_events needs PostgreSQL 15 or later"
#endif

#ifndef FRONTEND

/* PostgreSQL 16 moved the declarations for variable-length values to varatt.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* Index of this process in the array of PGPROCs. */
#if PG_VERSION_NUM >= 170000
#define TTE_MY_PROC_NUMBER	MyProcNumber
#else
#define TTE_MY_PROC_NUMBER	(MyProc->pgprocno)
#endif

/* A parameter for summarizing indexes came with 16, one for MERGE with 18, flags with 19. */
#if PG_VERSION_NUM >= 190000
#define tte_ExecInsertIndexTuples(info, slot, estate, no_dup_err, conflict, arbiters) \
	ExecInsertIndexTuples(info, estate, (no_dup_err) ? EIIT_NO_DUPE_ERROR : 0, slot, arbiters, conflict)
#elif PG_VERSION_NUM >= 160000
#define tte_ExecInsertIndexTuples(info, slot, estate, no_dup_err, conflict, arbiters) \
	ExecInsertIndexTuples(info, slot, estate, false, no_dup_err, conflict, arbiters, false)
#else
#define tte_ExecInsertIndexTuples(info, slot, estate, no_dup_err, conflict, arbiters) \
	ExecInsertIndexTuples(info, slot, estate, false, no_dup_err, conflict, arbiters)
#endif
/* Before 17 access methods keep nothing that must be cleaned up after insertions. */
#if PG_VERSION_NUM >= 170000
#define tte_index_insert_cleanup(index, info)	index_insert_cleanup(index, info)
#else
#define tte_index_insert_cleanup(index, info)	((void) 0)
#endif
#if PG_VERSION_NUM >= 180000
#define tte_ExecCheckIndexConstraints(info, slot, estate, tid, arbiters) \
	ExecCheckIndexConstraints(info, slot, estate, tid, NULL, arbiters)
#else
#define tte_ExecCheckIndexConstraints(info, slot, estate, tid, arbiters) \
	ExecCheckIndexConstraints(info, slot, estate, tid, arbiters)
#endif

#if PG_VERSION_NUM >= 190000
#define tte_index_beginscan(rel, index, snapshot, nkeys)	index_beginscan(rel, index, snapshot, NULL, nkeys, 0, 0)
#elif PG_VERSION_NUM >= 180000
#define tte_index_beginscan(rel, index, snapshot, nkeys)	index_beginscan(rel, index, snapshot, NULL, nkeys, 0)
#else
#define tte_index_beginscan(rel, index, snapshot, nkeys)	index_beginscan(rel, index, snapshot, nkeys, 0)
#endif

/* Deletes a row; waits for a transaction that is deleting it. */
#if PG_VERSION_NUM >= 190000
#define tte_table_tuple_delete(rel, tid, snapshot, failure) \
	table_tuple_delete(rel, tid, GetCurrentCommandId(true), 0, snapshot, InvalidSnapshot, true, failure)
#else
#define tte_table_tuple_delete(rel, tid, snapshot, failure) \
	table_tuple_delete(rel, tid, GetCurrentCommandId(true), snapshot, InvalidSnapshot, true, failure, false)
#endif

/* From 19 on a hash table in shared memory is allocated in full size. */
#if PG_VERSION_NUM >= 190000
#define tte_ShmemInitHash(name, size, info, flags)	ShmemInitHash(name, size, info, flags)
#else
#define tte_ShmemInitHash(name, size, info, flags)	ShmemInitHash(name, size, size, info, flags)
#endif

#if PG_VERSION_NUM >= 160000
#define tte_stringToQualifiedNameList(name) stringToQualifiedNameList(name, NULL)
#define tte_function_aclcheck(function, role) object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE)
#define tte_namespace_aclcheck(namespace, role) object_aclcheck(NamespaceRelationId, namespace, role, ACL_USAGE)
#define tte_class_ownercheck(relation, role) object_ownercheck(RelationRelationId, relation, role)
#define tte_database_ownercheck(database, role) object_ownercheck(DatabaseRelationId, database, role)
#define tte_extension_ownercheck(extension, role) object_ownercheck(ExtensionRelationId, extension, role)
#else
#define tte_stringToQualifiedNameList(name) stringToQualifiedNameList(name)
#define tte_function_aclcheck(function, role) pg_proc_aclcheck(function, role, ACL_EXECUTE)
#define tte_namespace_aclcheck(namespace, role) pg_namespace_aclcheck(namespace, role, ACL_USAGE)
#define tte_class_ownercheck(relation, role) pg_class_ownercheck(relation, role)
#define tte_database_ownercheck(database, role) pg_database_ownercheck(database, role)
#define tte_extension_ownercheck(extension, role) pg_extension_ownercheck(extension, role)
#endif

/* A setting that exists from 17 on, as an element of the list in pin_settings(), deliver/queue.c. */
#if PG_VERSION_NUM >= 170000
#define TTE_TRANSACTION_TIMEOUT	{"transaction_timeout", "0"},
#else
#define TTE_TRANSACTION_TIMEOUT
#endif

/* From 17 on an extension has wait events of its own, registered once in each process. */
#if PG_VERSION_NUM >= 170000
#define tte_wait_event(name)	WaitEventExtensionNew(name)
#else
#define tte_wait_event(name)	PG_WAIT_EXTENSION
#endif

#if PG_VERSION_NUM >= 180000
#define tte_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel, false)
#else
#define tte_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/* Virtual generated columns exist from 18 on. */
#define TTE_ATTRIBUTE_GENERATED_VIRTUAL	'v'

/* In an expression of a trigger, which does not see them. */
#if PG_VERSION_NUM >= 180000
#define tte_expand_generated_columns(node, rel, varno)	expand_generated_columns_in_expr(node, rel, varno)
#else
#define tte_expand_generated_columns(node, rel, varno)	(node)
#endif

/* Number of transactions with an id that have ended in the cluster. */
#if PG_VERSION_NUM >= 170000
#define tte_completed_transactions() (TransamVariables->xactCompletionCount)
#else
#define tte_completed_transactions() (ShmemVariableCache->xactCompletionCount)
#endif

/*
 * From 17 on a wait event set belongs to a resource owner, NULL meaning none;
 * before, to a memory context.  Here it always lives as long as the process.
 */
#if PG_VERSION_NUM >= 170000
#define tte_create_wait_event_set(nevents)	CreateWaitEventSet(NULL, (nevents))
#else
#define tte_create_wait_event_set(nevents)	CreateWaitEventSet(TopMemoryContext, (nevents))
#endif

#endif							/* !FRONTEND */

/*
 * libcurl; only for files that include curl/curl.h first.
 */
#ifdef LIBCURL_VERSION_NUM

#if !CURL_AT_LEAST_VERSION(7, 76, 0)
#error "tiktok_events needs libcurl 7.76 or later"
#endif

/* The only protocol that a transfer may use. */
static inline CURLcode
tte_curl_restrict_protocol(CURL *easy, bool https)
{
#if CURL_AT_LEAST_VERSION(7, 85, 0)
	return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, https ? "https" : "http");
#else
	return curl_easy_setopt(easy, CURLOPT_PROTOCOLS,
							(long) (https ? CURLPROTO_HTTPS : CURLPROTO_HTTP));
#endif
}

/* Is the loaded library older than the headers? */
static inline bool
tte_curl_is_older(unsigned int loaded)
{
	return loaded < LIBCURL_VERSION_NUM;
}

/* Do not wait for a resolver thread when a transfer ends. */
static inline CURLcode
tte_curl_quick_exit(CURL *easy)
{
#if CURL_AT_LEAST_VERSION(7, 87, 0)
	return curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#else
	return CURLE_OK;
#endif
}

/* The same for the pool of resolver threads that belongs to a multi handle. */
static inline CURLMcode
tte_curl_multi_quick_exit(CURLM *multi)
{
#if CURL_AT_LEAST_VERSION(8, 20, 0)
	return curl_multi_setopt(multi, CURLMOPT_QUICK_EXIT, 1L);
#else
	return CURLM_OK;
#endif
}

/*
 * Lets every transfer look whether its time has come.  Deprecated, because libcurl
 * is to arm its timer for that; see drive_all() in deliver/multi.c.
 */
static inline CURLMcode
tte_curl_multi_drive_all(CURLM *multi, int *running)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	return curl_multi_socket_all(multi, running);
#pragma GCC diagnostic pop
}

/* Without QUICK_EXIT, at least keep the resolver thread's life short. */
static inline void
tte_curl_resolver_options(void)
{
#if !CURL_AT_LEAST_VERSION(7, 87, 0)
	setenv("RES_OPTIONS", "timeout:1 attempts:2", 0);
#endif
}

/* How long the parsed CA file may be reused. */
static inline CURLcode
tte_curl_ca_cache(CURL *easy, long seconds)
{
#if CURL_AT_LEAST_VERSION(7, 87, 0)
	return curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, seconds);
#else
	return CURLE_OK;
#endif
}

/* A connection older than this is not used again. */
static inline CURLcode
tte_curl_connection_lifetime(CURL *easy, long seconds)
{
#if CURL_AT_LEAST_VERSION(7, 80, 0)
	return curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, seconds);
#else
	return CURLE_OK;
#endif
}

#endif							/* LIBCURL_VERSION_NUM */

#endif							/* TTE_COMPAT_H */
