/*-------------------------------------------------------------------------
 *
 * stages.c
 *	  The stages of tiktok.lead_stage against the column that a trigger reads
 *	  them from.
 *
 * A stage is compared as text.  Of integers, booleans, uuids and enums it is known which
 * texts there are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "enqueue/source.h"
#include "operate/stages.h"

/* As the type's output function writes it. */
static bool
is_integer(const char *stage, int64 max)
{
	char	   *end;
	long long	value;

	errno = 0;
	value = strtoll(stage, &end, 10);
	return errno == 0 && *end == '\0' && value >= -max - 1 && value <= max && strcmp(psprintf("%lld", value), stage) == 0;
}

static bool
is_uuid(const char *stage)
{
	for (int i = 0; i < 36; i++)
	{
		if (i == 8 || i == 13 || i == 18 || i == 23 ? stage[i] != '-' : stage[i] == '\0' || strchr("0123456789abcdef", stage[i]) == NULL)
			return false;
	}
	return stage[36] == '\0';
}

static bool
can_match(const TteValueType *type, const char *stage)
{
	switch (type->type)
	{
		case INT2OID:
			return is_integer(stage, PG_INT16_MAX);
		case INT4OID:
			return is_integer(stage, PG_INT32_MAX);
		case INT8OID:
			return is_integer(stage, PG_INT64_MAX);
		case BOOLOID:
			return strcmp(stage, "true") == 0 || strcmp(stage, "false") == 0;
		case UUIDOID:
			return is_uuid(stage);
		default:
			break;
	}
	if (!type_is_enum(type->type))
		return true;
	return strlen(stage) < NAMEDATALEN &&
		SearchSysCacheExists2(ENUMTYPOIDNAME, ObjectIdGetDatum(type->type), CStringGetDatum(stage));
}

static void
refuse(const TteSource *source, const char *type, const char *stages)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("no stage of event source \"%s\" can be found in the rows", source->name),
			 errdetail("The stage is read as %s, which is never %s.", type, stages),
			 errhint("Correct tiktok.lead_stage, or name the column that holds these stages.")));
}

static void
check_source(const TteMapping *m, const TteSource *source, StringInfo remarks)
{
	List	   *stages = tte_source_stages(source->name);
	const char *type = format_type_be(m->stage_type.type);
	StringInfoData never;
	int			n = 0;
	ListCell   *cell;

	initStringInfo(&never);
	foreach(cell, stages)
	{
		if (!can_match(&m->stage_type, lfirst(cell)))
			appendStringInfo(&never, "%s%s", n++ > 0 ? ", " : "", quote_literal_cstr(lfirst(cell)));
	}
	if (n == 0)
		return;
	if (n == list_length(stages) && !m->source_of_row)
		refuse(source, type, never.data);
	appendStringInfo(remarks, "\n-- The stage is read as %s, which is never %s of source \"%s\". Correct tiktok.lead_stage, unless these are stages of another table.",
					 type, never.data, source->name);
}

void
tte_stages_check(const TteMapping *mapping, List *sources, StringInfo remarks)
{
	ListCell   *cell;

	if (!mapping->by_stage || mapping->stage_path.path_len > 0)
		return;
	foreach(cell, sources)
	{
		check_source(mapping, lfirst(cell), remarks);
	}
}
