/*-------------------------------------------------------------------------
 *
 * senders.c
 *	  All senders of a worker: one for each source, in the order of their turns.
 *
 * They are made and configured from the tables and the files with tokens; those
 * whose source has gone are dropped.  What concerns every sender, as news in the
 * queue or a clock that was set back, is told to them here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "deliver/handover.h"
#include "deliver/report.h"
#include "deliver/senders.h"
#include "deliver/token.h"
#include "deliver/watch.h"
#include "server/common.h"
#include "server/faultpoint.h"
#include "server/settings.h"

/* How often files with tokens are looked at, in microseconds. */
#define TOKEN_POLL	INT64CONST(1000000)

dlist_head	tte_senders = DLIST_STATIC_INIT(tte_senders);

static int64 tokens_seen_at = 0;
static uint64 tokens_seen = 0;	/* sum of the stamps of all token files */
static int64 clock_seen = 0;

void
tte_look_everywhere(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &tte_senders)
	{
		dlist_container(TteSender, node, iter.cur)->look = true;
	}
}

void
tte_hurry_probes(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &tte_senders)
	{
		tte_breaker_hurry(&dlist_container(TteSender, node, iter.cur)->breaker, tte_now());
	}
}

static TteSender *
find_sender(int32 source_id)
{
	dlist_iter	iter;

	dlist_foreach(iter, &tte_senders)
	{
		TteSender  *sender = dlist_container(TteSender, node, iter.cur);

		if (sender->config.id == source_id)
			return sender;
	}
	return NULL;
}

/* One limit of requests a second, and one throttle, for each token. */
static void
share_tokens(void)
{
	dlist_iter	one;
	dlist_iter	other;

	dlist_foreach(one, &tte_senders)
	{
		TteSender  *sender = dlist_container(TteSender, node, one.cur);

		sender->token = &sender->own_token;
		dlist_foreach(other, &tte_senders)
		{
			TteSender  *first = dlist_container(TteSender, node, other.cur);

			if (first == sender)
				break;
			if (sender->config.token && first->config.token &&
				strcmp(sender->config.token, first->config.token) == 0)
			{
				sender->token = first->token;
				break;
			}
		}
	}
}

/*
 * The file of the source's name wins over the stored token, even if it cannot
 * be used.  Nobody knows for which database it was put there: in a copy it says
 * nothing, unless a token that was set here has said it before.
 */
static void
use_token_file(TteSourceConfig *config)
{
	char		token[TTE_TOKEN_MAX + 1];
	const char *problem;
	bool		confirmed = config->token != NULL && !config->copied;

	if (tte_access_token_dir[0] == '\0')
		return;
	problem = tte_token_read(tte_access_token_dir, config->name, token);
	if (problem == tte_token_missing)
		return;
	if (config->token != NULL)
		explicit_bzero(config->token, strlen(config->token));
	config->token_stamp = (int64) tte_token_stamp(tte_access_token_dir, config->name);
	config->token = problem ? NULL : pstrdup(token);
	config->token_problem = problem ? psprintf("access token file: %s", problem) : NULL;
	config->copied = config->database_copied && !confirmed;
	explicit_bzero(token, sizeof(token));
}

static bool
is_among(int32 source_id, const TteSourceConfig *configs, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (configs[i].id == source_id)
			return true;
	}
	return false;
}

/*
 * A source that has events cannot be deleted; but these may have been deleted
 * by hand while they were on their way.  Then its answers are awaited first.
 */
static void
drop_senders(const TteSourceConfig *configs, int n)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &tte_senders)
	{
		TteSender  *sender = dlist_container(TteSender, node, iter.cur);

		if (is_among(sender->config.id, configs, n))
			continue;
		sender->config.enabled = false;
		if (sender->breaker.in_flight > 0)
		{
			tte_watch_reload();
			continue;
		}
		dlist_delete(iter.cur);
		tte_sender_destroy(sender);
	}
	tte_queue_forget_sources();
}

void
tte_read_sources(MemoryContext context)
{
	TteSourceConfig *configs;
	int			n = tte_queue_sources(context, &configs);

	drop_senders(configs, n);
	for (int i = 0; i < n; i++)
	{
		TteSender  *sender = find_sender(configs[i].id);

		if (sender == NULL)
		{
			sender = tte_sender_create(configs[i].id);
			dlist_push_tail(&tte_senders, &sender->node);
		}
		use_token_file(&configs[i]);
		tte_sender_configure(sender, &configs[i]);
		if (configs[i].token != NULL)
			explicit_bzero(configs[i].token, strlen(configs[i].token));
	}
	share_tokens();
	tte_report_look();
	TTE_FAULT_POINT("tokens-read", NULL);
}

bool
tte_anyone_holds(int64 now)
{
	dlist_iter	iter;

	dlist_foreach(iter, &tte_senders)
	{
		if (tte_hold_due(dlist_container(TteSender, node, iter.cur), now))
			return true;
	}
	return false;
}

bool
tte_anyone_has_held(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &tte_senders)
	{
		if (!slist_is_empty(&dlist_container(TteSender, node, iter.cur)->held))
			return true;
	}
	return false;
}

bool
tte_anyone_hands_over(int64 now)
{
	dlist_iter	iter;

	dlist_foreach(iter, &tte_senders)
	{
		if (tte_handover_needed(dlist_container(TteSender, node, iter.cur), now))
			return true;
	}
	return false;
}

void
tte_hand_over(int64 now)
{
	dlist_iter	iter;

	dlist_foreach(iter, &tte_senders)
	{
		TteSender  *sender = dlist_container(TteSender, node, iter.cur);

		if (tte_handover_needed(sender, now))
			tte_handover_store(sender, now);
	}
}

bool
tte_anyone_wants(int64 now)
{
	dlist_iter	iter;

	dlist_foreach(iter, &tte_senders)
	{
		TteSender  *sender = dlist_container(TteSender, node, iter.cur);

		if (tte_sender_wants(sender, now) || tte_sender_expires(sender, now))
			return true;
	}
	return false;
}

TteSender *
tte_alone_sender(int64 now)
{
	dlist_iter	iter;

	dlist_foreach(iter, &tte_senders)
	{
		TteSender  *sender = dlist_container(TteSender, node, iter.cur);

		if (sender->alone == TTE_ALONE_WAITS && !tte_sender_wants(sender, now))
			sender->alone = TTE_ALONE_NO;
		if (sender->alone != TTE_ALONE_NO)
			return sender;
	}
	return NULL;
}

void
tte_requeue_all(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &tte_senders)
	{
		tte_sender_requeue(dlist_container(TteSender, node, iter.cur));
	}
}

bool
tte_token_files_changed(void)
{
	int64		now = tte_now();
	uint64		stamp = 0;
	bool		changed;
	dlist_iter	iter;

	if (now - tokens_seen_at < TOKEN_POLL && now >= tokens_seen_at)
		return false;
	tokens_seen_at = now;
	dlist_foreach(iter, &tte_senders)
	{
		if (tte_access_token_dir[0] != '\0')
			stamp += tte_token_stamp(tte_access_token_dir,
									 dlist_container(TteSender, node, iter.cur)->config.name);
	}
	changed = stamp != tokens_seen;
	tokens_seen = stamp;
	return changed;
}

static void
take_bits(pg_atomic_uint64 *shared, uint64 *bits)
{
	for (int word = 0; word < TTE_NEWS_WORDS; word++)
		bits[word] = pg_atomic_read_u64(&shared[word]) != 0 ? pg_atomic_exchange_u64(&shared[word], 0) : 0;
}

void
tte_look_at_news(TteSlot *slot)
{
	uint64		news[TTE_NEWS_WORDS];
	uint64		decided[TTE_NEWS_WORDS];
	dlist_iter	iter;

	take_bits(slot->news, news);
	take_bits(slot->decided, decided);
	dlist_foreach(iter, &tte_senders)
	{
		TteSender  *sender = dlist_container(TteSender, node, iter.cur);
		int			word = TTE_NEWS_WORD(sender->config.id);
		uint64		bit = TTE_NEWS_BIT(sender->config.id);

		if (decided[word] & bit)
			tte_sender_requeue(sender);
		if (news[word] & bit)
			sender->look = true;
	}
}

int64
tte_token_files_due(void)
{
	return tte_access_token_dir[0] != '\0' ? tokens_seen_at + TOKEN_POLL : PG_INT64_MAX;
}

void
tte_token_files_look(void)
{
	tokens_seen_at = 0;
}

void
tte_mind_clock(int64 now)
{
	dlist_iter	iter;

	if (now < clock_seen)
	{
		dlist_foreach(iter, &tte_senders)
		{
			tte_sender_clock_set_back(dlist_container(TteSender, node, iter.cur));
		}
	}
	clock_seen = now;
}
