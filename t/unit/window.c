/*
 * Unit test of src/deliver/window.c: windows between random snapshots are
 * disjoint, miss nothing, and hold only what became visible.
 */
#include "deliver/window.h"
#include "tap.h"

#define XIDS	60
#define ROUNDS	2000

static const char *
segments_of(const char *prev, const char *cur)
{
	TteSnapshot a,
				b;
	TteSegment *seg;
	StringInfoData buf;
	int			n;

	initStringInfo(&buf);
	if (!tte_snapshot_parse(prev, &a) || !tte_snapshot_parse(cur, &b))
		return "unparsable";
	n = tte_window_segments(&a, &b, &seg);
	for (int i = 0; i < n; i++)
		appendStringInfo(&buf, "[" UINT64_FORMAT "," UINT64_FORMAT ")", seg[i].lo, seg[i].hi);
	return buf.data;
}

/* A later snapshot: some running ones end, new ones start. */
static void
advance(bool running[XIDS], uint64 *next, TteSnapshot *s)
{
	int			started = random() % 8;

	for (int x = 3; x < *next; x++)
	{
		if (running[x] && random() % 3 == 0)
			running[x] = false;
	}
	while (started-- > 0 && *next < XIDS)
	{
		running[*next] = random() % 2 == 0;
		(*next)++;
	}
	s->xmax = *next;
	s->nxip = 0;
	s->xip = palloc(XIDS * sizeof(uint64));
	for (int x = 3; x < *next; x++)
	{
		if (running[x])
			s->xip[s->nxip++] = x;
	}
	s->xmin = s->nxip ? s->xip[0] : s->xmax;
}

static bool
random_history(void)
{
	bool		running[XIDS] = {false};
	int			seen[XIDS] = {0};
	uint64		next = 3;
	TteSnapshot prev;
	TteSnapshot cur;
	TteSegment *seg;
	int			n;

	tte_snapshot_parse(TTE_FIRST_SNAPSHOT, &prev);
	for (int step = 0; step < 20; step++, prev = cur)
	{
		advance(running, &next, &cur);
		n = tte_window_segments(&prev, &cur, &seg);
		for (int i = 0; i < n; i++)
		{
			if (seg[i].lo >= seg[i].hi || (i > 0 && seg[i].lo < seg[i - 1].hi))
				return false;
			for (uint64 x = seg[i].lo; x < seg[i].hi; x++)
			{
				if (seen[x]++ || running[x])
					return false;
			}
		}
		for (int x = 3; x < next; x++)
		{
			if (!running[x] && seen[x] != 1)
				return false;
		}
	}
	return true;
}

int
main(void)
{
	TteSnapshot s;
	bool		good = true;

	ok(strcmp(segments_of("3:3:", "3:3:"), "") == 0, "empty window");
	ok(strcmp(segments_of("3:3:", "10:10:"), "[3,10)") == 0, "first window");
	ok(strcmp(segments_of("5:9:5,7", "9:12:9"), "[5,6)[7,8)[10,12)") == 0, "late ones first, then new ones");
	ok(strcmp(segments_of("5:9:5,7", "5:9:5,7"), "") == 0, "nothing ended");
	ok(strcmp(segments_of("5:9:5,7", "5:9:5"), "[7,8)") == 0, "one ended, none started");
	ok(strcmp(segments_of("3:3:", "4:4294967300:4,4294967296"),
			  "[3,4)[5,4294967296)[4294967297,4294967300)") == 0, "beyond 32 bits");
	ok(tte_snapshot_parse("5:9:5,7", &s) && strcmp(tte_snapshot_print(&s), "5:9:5,7") == 0, "printed as read");
	ok(tte_snapshot_sees(&s, 4) && !tte_snapshot_sees(&s, 5) && tte_snapshot_sees(&s, 6) &&
	   !tte_snapshot_sees(&s, 7) && !tte_snapshot_sees(&s, 9), "visibility");
	ok(!tte_snapshot_parse("5:9", &s) && !tte_snapshot_parse("a:9:", &s) &&
	   !tte_snapshot_parse("5:9:5;7", &s) && !tte_snapshot_parse("", &s), "malformed snapshots");
	srandom(42);
	for (int i = 0; i < ROUNDS && good; i++)
		good = random_history();
	ok(good, "random histories: every transaction exactly once");
	return tap_end();
}
