/*-------------------------------------------------------------------------
 *
 * handover.c
 *	  What a worker that makes room for other databases leaves to the next.
 *
 * Worker after worker may live for a single request.  So what they have learned of a
 * source is stored, if it is in any trouble: why it stopped and when it is probed,
 * that TikTok asked to wait, what failed or was refused last, which parts of a batch
 * are still to be sent, that the line is slow.  Without that none would ever find out
 * which event spoils a batch.  The note is read once.  It does not survive a worker
 * that fails, or the end of the server: then all begins anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "deliver/handover.h"
#include "deliver/statement.h"
#include "server/common.h"
#include "server/compat.h"

#define FORMAT	1				/* of the note */

/* It begins with this; then come the names of kinds, parts, and batches that failed. */
typedef struct Note
{
	int32		format;
	char		version[28];	/* of the library */
	int64		stored_at;
	int64		token_stamp;
	TteBreaker	breaker;
	TteToken	token;
	TtePace		pace;
} Note;

/* A part, or a batch that failed; its ids follow. */
typedef struct NotePart
{
	int32		n;
	int32		same;			/* halves as those of that part; -1: its own,
								 * -2: none */
	TteHalves	halves;
	TteSpan		span;
	int64		failed_at;
} NotePart;

typedef struct Reader
{
	const char *at;
	const char *end;
} Reader;

static TteStatement store_sql = {2, {INT4OID, BYTEAOID},
"UPDATE tiktok.cursor SET note = $2 WHERE source_id = $1", NULL};

static TteStatement load_sql = {1, {INT4OID},
"SELECT note FROM tiktok.cursor WHERE source_id = $1 AND note IS NOT NULL", NULL};

static TteStatement clear_sql = {1, {INT4OID},
"UPDATE tiktok.cursor SET note = NULL WHERE source_id = $1", NULL};

static int64 sent_at = 0;

void
tte_handover_sent_at(int64 at)
{
	sent_at = at;
}

bool
tte_handover_needed(const TteSender *sender, int64 now)
{
	return sender->loaded &&
		!(tte_breaker_is_plain(&sender->breaker, now) && tte_token_is_plain(sender->token, now) &&
		  sender->pace.halvings == 0 && sender->nparts == 0 && sender->nfailed == 0);
}

/*-------------------------------------------------------------------------
 * Writing
 *-------------------------------------------------------------------------
 */

static void
put(StringInfo note, const void *bytes, int n)
{
	appendBinaryStringInfo(note, bytes, n);
}

static void
put_kinds(StringInfo note, const TteSender *sender)
{
	for (int i = 0; i < sender->breaker.nkinds; i++)
	{
		const char *name = sender->kinds[i] ? sender->kinds[i] : "";

		put(note, &sender->kind_rows[i], sizeof(bool));
		put(note, name, strlen(name) + 1);
	}
}

/* The number of the part that shares its halves and comes before. */
static int32
number_of_halves(dlist_head *parts, const TtePart *part)
{
	int32		number = 0;
	dlist_iter	iter;

	if (part->halves == NULL)
		return -2;
	dlist_foreach(iter, parts)
	{
		const TtePart *other = dlist_container(TtePart, node, iter.cur);

		if (other == part)
			break;
		if (other->halves == part->halves)
			return number;
		number++;
	}
	return -1;
}

static void
put_parts(StringInfo note, dlist_head *parts, int32 n)
{
	dlist_iter	iter;

	put(note, &n, sizeof(n));
	if (n == 0)
		return;
	dlist_foreach(iter, parts)
	{
		const TtePart *part = dlist_container(TtePart, node, iter.cur);
		NotePart	head = {part->n, number_of_halves(parts, part), {0}, part->span, part->failed_at};

		if (part->halves != NULL)
			head.halves = *part->halves;
		put(note, &head, sizeof(head));
		put(note, part->ids, part->n * sizeof(int64));
	}
}

void
tte_handover_store(TteSender *sender, int64 now)
{
	StringInfoData stored;
	char		header[VARHDRSZ] = {0};
	Note		note = {.format = FORMAT, .stored_at = now, .token_stamp = sender->config.token_stamp};
	Datum		args[] = {Int32GetDatum(sender->config.id), (Datum) 0};

	strlcpy(note.version, TTE_VERSION, sizeof(note.version));
	tte_breaker_copy(&note.breaker, &sender->breaker);
	note.token = *sender->token;
	note.pace = sender->pace;
	initStringInfo(&stored);
	put(&stored, header, VARHDRSZ);
	put(&stored, &note, sizeof(note));
	put_kinds(&stored, sender);
	put_parts(&stored, &sender->parts, slist_is_empty(&sender->held) ? sender->nparts : 0);
	put_parts(&stored, &sender->failed, sender->nfailed);
	SET_VARSIZE(stored.data, stored.len);
	args[1] = PointerGetDatum(stored.data);
	tte_run(&store_sql, args, NULL);
	pfree(stored.data);
}

/*-------------------------------------------------------------------------
 * Reading
 *-------------------------------------------------------------------------
 */

static bool
take(Reader *reader, void *bytes, size_t n)
{
	if ((size_t) (reader->end - reader->at) < n)
		return false;
	memcpy(bytes, reader->at, n);
	reader->at += n;
	return true;
}

/* Is it one that this library has written? */
static bool
take_note(Reader *reader, Note *note)
{
	if (!take(reader, note, sizeof(Note)))
		return false;
	note->version[sizeof(note->version) - 1] = '\0';
	note->token.reason[sizeof(note->token.reason) - 1] = '\0';
	return note->format == FORMAT && strcmp(note->version, TTE_VERSION) == 0;
}

static bool
take_kinds(Reader *reader, TteSender *sender)
{
	for (int i = 0; i < sender->breaker.nkinds; i++)
	{
		char		has_rows;
		size_t		len;

		if (!take(reader, &has_rows, 1))
			return false;
		len = strnlen(reader->at, reader->end - reader->at);
		if (len == (size_t) (reader->end - reader->at))
			return false;
		if (len > 0)
		{
			sender->kinds[i] = MemoryContextStrdup(sender->context, reader->at);
			sender->kind_rows[i] = has_rows != 0;
		}
		reader->at += len + 1;
	}
	return true;
}

/* Halves of parts that have been sent meanwhile are closed as if they had failed. */
static TteHalves *
halves_of(TteSender *sender, const NotePart *head, TteHalves **halves, int i)
{
	if (head->same >= 0 && head->same < i)
		return halves[head->same];
	if (head->same != -1)
		return NULL;
	halves[i] = MemoryContextAlloc(sender->context, sizeof(TteHalves));
	*halves[i] = head->halves;
	return halves[i];
}

static bool
take_parts(Reader *reader, TteSender *sender, bool failed)
{
	int32		n;
	TteHalves **halves;

	if (!take(reader, &n, sizeof(n)) || n < 0 || n > (reader->end - reader->at) / (int) sizeof(NotePart))
		return false;
	halves = palloc0((n + 1) * sizeof(TteHalves *));
	for (int i = 0; i < n; i++)
	{
		NotePart	head;
		int64	   *ids;

		if (!take(reader, &head, sizeof(head)) || head.n <= 0 || head.n > (reader->end - reader->at) / (int) sizeof(int64))
			return false;
		ids = palloc(head.n * sizeof(int64));
		(void) take(reader, ids, head.n * sizeof(int64));
		if (failed)
			tte_failed_add(sender, ids, head.n, &head.span, head.failed_at);
		else
			tte_part_add(sender, ids, head.n, halves_of(sender, &head, halves, i), false);
		pfree(ids);
	}
	return true;
}

/* A new token, or an operator's word, is a reason to try again at once. */
static bool
is_outdated(const Note *note, const TteSourceConfig *config)
{
	return note->token_stamp != config->token_stamp || note->stored_at < config->resumed_at;
}

static void
use_note(TteSender *sender, const Note *note, Reader *reader, int64 now)
{
	tte_breaker_copy(&sender->breaker, &note->breaker);
	sender->pace = note->pace;
	if (note->token.paused_until > sender->token->paused_until)
		*sender->token = note->token;
	(void) (take_kinds(reader, sender) && take_parts(reader, sender, false) && take_parts(reader, sender, true));
	if (now < note->stored_at)
		tte_sender_clock_set_back(sender);
	/* the settings were read again since, or the server was started */
	if (PgReloadTime + TTE_EPOCH_SHIFT > note->stored_at)
		tte_breaker_hurry(&sender->breaker, now);
}

/* While parts are left their rows are leased, and no others are; what is held back leaves other leases. */
void
tte_handover_load(TteSender *sender, int64 now)
{
	Datum		args[] = {Int32GetDatum(sender->config.id)};
	bool		isnull;
	bytea	   *stored;
	Reader		reader;
	Note		note;

	if (tte_run(&load_sql, args, NULL) > 0)
	{
		stored = DatumGetByteaPCopy(tte_result(0, 1, BYTEAOID, &isnull));
		reader.at = VARDATA(stored);
		reader.end = reader.at + VARSIZE(stored) - VARHDRSZ;
		tte_run(&clear_sql, args, NULL);
		if (take_note(&reader, &note) && !is_outdated(&note, &sender->config))
			use_note(sender, &note, &reader, now);
	}
	tte_token_used(sender->token, sent_at, now);
}
