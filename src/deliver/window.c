/*-------------------------------------------------------------------------
 *
 * window.c
 *	  Windows between two snapshots.
 *
 * Consecutive windows are disjoint and together miss nothing: every committed
 * transaction becomes visible exactly once.  This holds for late commits,
 * prepared transactions and savepoints, because only the top-level transaction
 * id of an event counts.
 *
 *-------------------------------------------------------------------------
 */
#include "deliver/window.h"

static bool
parse_xid(const char **at, uint64 *xid)
{
	char	   *end;

	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	*xid = strtoull(*at, &end, 10);
	*at = end;
	return errno == 0;
}

static int
count_commas(const char *list)
{
	int			n = 0;

	for (; *list; list++)
		n += (*list == ',');
	return n;
}

bool
tte_snapshot_parse(const char *string, TteSnapshot *snapshot)
{
	if (!parse_xid(&string, &snapshot->xmin) || *string++ != ':' ||
		!parse_xid(&string, &snapshot->xmax) || *string++ != ':')
		return false;
	snapshot->nxip = 0;
	snapshot->xip = palloc((count_commas(string) + 1) * sizeof(uint64));
	while (*string)
	{
		if (!parse_xid(&string, &snapshot->xip[snapshot->nxip++]))
			return false;
		if (*string == ',')
			string++;
		else if (*string)
			return false;
	}
	return true;
}

char *
tte_snapshot_print(const TteSnapshot *snapshot)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, UINT64_FORMAT ":" UINT64_FORMAT ":", snapshot->xmin, snapshot->xmax);
	for (int i = 0; i < snapshot->nxip; i++)
		appendStringInfo(&buf, "%s" UINT64_FORMAT, i ? "," : "", snapshot->xip[i]);
	return buf.data;
}

bool
tte_snapshot_sees(const TteSnapshot *snapshot, uint64 xid)
{
	int			lo = 0;
	int			hi = snapshot->nxip;

	if (xid >= snapshot->xmax)
		return false;
	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;

		if (snapshot->xip[mid] == xid)
			return false;
		if (snapshot->xip[mid] < xid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return true;
}

int
tte_window_segments(const TteSnapshot *prev, const TteSnapshot *cur, TteSegment **segments)
{
	TteSegment *seg = palloc((prev->nxip + cur->nxip + 1) * sizeof(TteSegment));
	uint64		lo = prev->xmax;
	int			n = 0;

	for (int i = 0; i < prev->nxip; i++)
	{
		if (tte_snapshot_sees(cur, prev->xip[i]))
			seg[n++] = (TteSegment) {prev->xip[i], prev->xip[i] + 1};
	}
	for (int i = 0; i < cur->nxip; i++)
	{
		if (cur->xip[i] < prev->xmax)
			continue;
		if (lo < cur->xip[i])
			seg[n++] = (TteSegment) {lo, cur->xip[i]};
		lo = cur->xip[i] + 1;
	}
	if (lo < cur->xmax)
		seg[n++] = (TteSegment) {lo, cur->xmax};
	*segments = seg;
	return n;
}
