/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The configuration parameters tiktok_events.*.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TTE_SETTINGS_H
#define TTE_SETTINGS_H

extern bool tte_enabled;
extern bool tte_recording;
extern char *tte_endpoint;
extern char *tte_reporting_endpoint;
extern char *tte_ca_file;
extern char *tte_proxy;			/* "": none */
extern char *tte_proxy_ca_file;
extern char *tte_access_token_dir;
extern char *tte_databases;
extern int	tte_max_workers;
extern int	tte_max_databases;
extern int	tte_connect_timeout;	/* ms */
extern int	tte_request_timeout;	/* ms */
extern int	tte_max_in_flight;
extern int	tte_max_body_size;	/* kB */
extern int	tte_retention;		/* s, -1: forever */
extern int	tte_identifier_ttl; /* s, -1: max_event_age of the source */
extern bool tte_log_requests;
extern bool tte_test_event;

/* Defines the parameters; PGC_POSTMASTER ones only while preloading. */
extern void tte_settings_define(void);


/* Where TikTok's counts are fetched from; NULL: nowhere. */
extern const char *tte_reporting_base(void);

/* Is the database among those of tiktok_events.databases? */
extern bool tte_database_selected(const char *name);

#endif							/* TTE_SETTINGS_H */
