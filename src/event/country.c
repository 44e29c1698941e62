/*-------------------------------------------------------------------------
 *
 * country.c
 *	  Countries and states of the USA by their names and codes.
 *
 * Countries are those of ISO 3166-1, and Kosovo under its user-assigned code.
 *
 *-------------------------------------------------------------------------
 */
#include "event/country.h"

#include "event/catalog.h"

typedef struct Country
{
	const char *alpha2;
	const char *alpha3;
	const char *name;			/* letters only */
} Country;

typedef struct Alias
{
	const char *name;
	const char *code;
} Alias;

/* sorted by alpha2 */
static const Country countries[] = {
	{"ad", "and", "andorra"},
	{"ae", "are", "unitedarabemirates"},
	{"af", "afg", "afghanistan"},
	{"ag", "atg", "antiguaandbarbuda"},
	{"ai", "aia", "anguilla"},
	{"al", "alb", "albania"},
	{"am", "arm", "armenia"},
	{"ao", "ago", "angola"},
	{"aq", "ata", "antarctica"},
	{"ar", "arg", "argentina"},
	{"as", "asm", "americansamoa"},
	{"at", "aut", "austria"},
	{"au", "aus", "australia"},
	{"aw", "abw", "aruba"},
	{"ax", "ala", "alandislands"},
	{"az", "aze", "azerbaijan"},
	{"ba", "bih", "bosniaandherzegovina"},
	{"bb", "brb", "barbados"},
	{"bd", "bgd", "bangladesh"},
	{"be", "bel", "belgium"},
	{"bf", "bfa", "burkinafaso"},
	{"bg", "bgr", "bulgaria"},
	{"bh", "bhr", "bahrain"},
	{"bi", "bdi", "burundi"},
	{"bj", "ben", "benin"},
	{"bl", "blm", "saintbarthelemy"},
	{"bm", "bmu", "bermuda"},
	{"bn", "brn", "brunei"},
	{"bo", "bol", "bolivia"},
	{"bq", "bes", "bonaire"},
	{"br", "bra", "brazil"},
	{"bs", "bhs", "bahamas"},
	{"bt", "btn", "bhutan"},
	{"bv", "bvt", "bouvetisland"},
	{"bw", "bwa", "botswana"},
	{"by", "blr", "belarus"},
	{"bz", "blz", "belize"},
	{"ca", "can", "canada"},
	{"cc", "cck", "cocosislands"},
	{"cd", "cod", "democraticrepublicofthecongo"},
	{"cf", "caf", "centralafricanrepublic"},
	{"cg", "cog", "congo"},
	{"ch", "che", "switzerland"},
	{"ci", "civ", "ivorycoast"},
	{"ck", "cok", "cookislands"},
	{"cl", "chl", "chile"},
	{"cm", "cmr", "cameroon"},
	{"cn", "chn", "china"},
	{"co", "col", "colombia"},
	{"cr", "cri", "costarica"},
	{"cu", "cub", "cuba"},
	{"cv", "cpv", "capeverde"},
	{"cw", "cuw", "curacao"},
	{"cx", "cxr", "christmasisland"},
	{"cy", "cyp", "cyprus"},
	{"cz", "cze", "czechia"},
	{"de", "deu", "germany"},
	{"dj", "dji", "djibouti"},
	{"dk", "dnk", "denmark"},
	{"dm", "dma", "dominica"},
	{"do", "dom", "dominicanrepublic"},
	{"dz", "dza", "algeria"},
	{"ec", "ecu", "ecuador"},
	{"ee", "est", "estonia"},
	{"eg", "egy", "egypt"},
	{"eh", "esh", "westernsahara"},
	{"er", "eri", "eritrea"},
	{"es", "esp", "spain"},
	{"et", "eth", "ethiopia"},
	{"fi", "fin", "finland"},
	{"fj", "fji", "fiji"},
	{"fk", "flk", "falklandislands"},
	{"fm", "fsm", "micronesia"},
	{"fo", "fro", "faroeislands"},
	{"fr", "fra", "france"},
	{"ga", "gab", "gabon"},
	{"gb", "gbr", "unitedkingdom"},
	{"gd", "grd", "grenada"},
	{"ge", "geo", "georgia"},
	{"gf", "guf", "frenchguiana"},
	{"gg", "ggy", "guernsey"},
	{"gh", "gha", "ghana"},
	{"gi", "gib", "gibraltar"},
	{"gl", "grl", "greenland"},
	{"gm", "gmb", "gambia"},
	{"gn", "gin", "guinea"},
	{"gp", "glp", "guadeloupe"},
	{"gq", "gnq", "equatorialguinea"},
	{"gr", "grc", "greece"},
	{"gs", "sgs", "southgeorgiaandthesouthsandwichislands"},
	{"gt", "gtm", "guatemala"},
	{"gu", "gum", "guam"},
	{"gw", "gnb", "guineabissau"},
	{"gy", "guy", "guyana"},
	{"hk", "hkg", "hongkong"},
	{"hm", "hmd", "heardislandandmcdonaldislands"},
	{"hn", "hnd", "honduras"},
	{"hr", "hrv", "croatia"},
	{"ht", "hti", "haiti"},
	{"hu", "hun", "hungary"},
	{"id", "idn", "indonesia"},
	{"ie", "irl", "ireland"},
	{"il", "isr", "israel"},
	{"im", "imn", "isleofman"},
	{"in", "ind", "india"},
	{"io", "iot", "britishindianoceanterritory"},
	{"iq", "irq", "iraq"},
	{"ir", "irn", "iran"},
	{"is", "isl", "iceland"},
	{"it", "ita", "italy"},
	{"je", "jey", "jersey"},
	{"jm", "jam", "jamaica"},
	{"jo", "jor", "jordan"},
	{"jp", "jpn", "japan"},
	{"ke", "ken", "kenya"},
	{"kg", "kgz", "kyrgyzstan"},
	{"kh", "khm", "cambodia"},
	{"ki", "kir", "kiribati"},
	{"km", "com", "comoros"},
	{"kn", "kna", "saintkittsandnevis"},
	{"kp", "prk", "northkorea"},
	{"kr", "kor", "southkorea"},
	{"kw", "kwt", "kuwait"},
	{"ky", "cym", "caymanislands"},
	{"kz", "kaz", "kazakhstan"},
	{"la", "lao", "laos"},
	{"lb", "lbn", "lebanon"},
	{"lc", "lca", "saintlucia"},
	{"li", "lie", "liechtenstein"},
	{"lk", "lka", "srilanka"},
	{"lr", "lbr", "liberia"},
	{"ls", "lso", "lesotho"},
	{"lt", "ltu", "lithuania"},
	{"lu", "lux", "luxembourg"},
	{"lv", "lva", "latvia"},
	{"ly", "lby", "libya"},
	{"ma", "mar", "morocco"},
	{"mc", "mco", "monaco"},
	{"md", "mda", "moldova"},
	{"me", "mne", "montenegro"},
	{"mf", "maf", "saintmartin"},
	{"mg", "mdg", "madagascar"},
	{"mh", "mhl", "marshallislands"},
	{"mk", "mkd", "northmacedonia"},
	{"ml", "mli", "mali"},
	{"mm", "mmr", "myanmar"},
	{"mn", "mng", "mongolia"},
	{"mo", "mac", "macao"},
	{"mp", "mnp", "northernmarianaislands"},
	{"mq", "mtq", "martinique"},
	{"mr", "mrt", "mauritania"},
	{"ms", "msr", "montserrat"},
	{"mt", "mlt", "malta"},
	{"mu", "mus", "mauritius"},
	{"mv", "mdv", "maldives"},
	{"mw", "mwi", "malawi"},
	{"mx", "mex", "mexico"},
	{"my", "mys", "malaysia"},
	{"mz", "moz", "mozambique"},
	{"na", "nam", "namibia"},
	{"nc", "ncl", "newcaledonia"},
	{"ne", "ner", "niger"},
	{"nf", "nfk", "norfolkisland"},
	{"ng", "nga", "nigeria"},
	{"ni", "nic", "nicaragua"},
	{"nl", "nld", "netherlands"},
	{"no", "nor", "norway"},
	{"np", "npl", "nepal"},
	{"nr", "nru", "nauru"},
	{"nu", "niu", "niue"},
	{"nz", "nzl", "newzealand"},
	{"om", "omn", "oman"},
	{"pa", "pan", "panama"},
	{"pe", "per", "peru"},
	{"pf", "pyf", "frenchpolynesia"},
	{"pg", "png", "papuanewguinea"},
	{"ph", "phl", "philippines"},
	{"pk", "pak", "pakistan"},
	{"pl", "pol", "poland"},
	{"pm", "spm", "saintpierreandmiquelon"},
	{"pn", "pcn", "pitcairn"},
	{"pr", "pri", "puertorico"},
	{"ps", "pse", "palestine"},
	{"pt", "prt", "portugal"},
	{"pw", "plw", "palau"},
	{"py", "pry", "paraguay"},
	{"qa", "qat", "qatar"},
	{"re", "reu", "reunion"},
	{"ro", "rou", "romania"},
	{"rs", "srb", "serbia"},
	{"ru", "rus", "russia"},
	{"rw", "rwa", "rwanda"},
	{"sa", "sau", "saudiarabia"},
	{"sb", "slb", "solomonislands"},
	{"sc", "syc", "seychelles"},
	{"sd", "sdn", "sudan"},
	{"se", "swe", "sweden"},
	{"sg", "sgp", "singapore"},
	{"sh", "shn", "sainthelena"},
	{"si", "svn", "slovenia"},
	{"sj", "sjm", "svalbardandjanmayen"},
	{"sk", "svk", "slovakia"},
	{"sl", "sle", "sierraleone"},
	{"sm", "smr", "sanmarino"},
	{"sn", "sen", "senegal"},
	{"so", "som", "somalia"},
	{"sr", "sur", "suriname"},
	{"ss", "ssd", "southsudan"},
	{"st", "stp", "saotomeandprincipe"},
	{"sv", "slv", "elsalvador"},
	{"sx", "sxm", "sintmaarten"},
	{"sy", "syr", "syria"},
	{"sz", "swz", "eswatini"},
	{"tc", "tca", "turksandcaicosislands"},
	{"td", "tcd", "chad"},
	{"tf", "atf", "frenchsouthernterritories"},
	{"tg", "tgo", "togo"},
	{"th", "tha", "thailand"},
	{"tj", "tjk", "tajikistan"},
	{"tk", "tkl", "tokelau"},
	{"tl", "tls", "timorleste"},
	{"tm", "tkm", "turkmenistan"},
	{"tn", "tun", "tunisia"},
	{"to", "ton", "tonga"},
	{"tr", "tur", "turkey"},
	{"tt", "tto", "trinidadandtobago"},
	{"tv", "tuv", "tuvalu"},
	{"tw", "twn", "taiwan"},
	{"tz", "tza", "tanzania"},
	{"ua", "ukr", "ukraine"},
	{"ug", "uga", "uganda"},
	{"um", "umi", "unitedstatesminoroutlyingislands"},
	{"us", "usa", "unitedstates"},
	{"uy", "ury", "uruguay"},
	{"uz", "uzb", "uzbekistan"},
	{"va", "vat", "vaticancity"},
	{"vc", "vct", "saintvincentandthegrenadines"},
	{"ve", "ven", "venezuela"},
	{"vg", "vgb", "britishvirginislands"},
	{"vi", "vir", "usvirginislands"},
	{"vn", "vnm", "vietnam"},
	{"vu", "vut", "vanuatu"},
	{"wf", "wlf", "wallisandfutuna"},
	{"ws", "wsm", "samoa"},
	{"xk", "xkx", "kosovo"},
	{"ye", "yem", "yemen"},
	{"yt", "myt", "mayotte"},
	{"za", "zaf", "southafrica"},
	{"zm", "zmb", "zambia"},
	{"zw", "zwe", "zimbabwe"}
};

/* Other names and codes in use. */
static const Alias country_aliases[] = {
	{"aland", "ax"},
	{"brasil", "br"},
	{"britain", "gb"},
	{"bruneidarussalam", "bn"},
	{"burma", "mm"},
	{"caboverde", "cv"},
	{"cotedivoire", "ci"},
	{"czechrepublic", "cz"},
	{"deutschland", "de"},
	{"easttimor", "tl"},
	{"england", "gb"},
	{"espana", "es"},
	{"greatbritain", "gb"},
	{"holland", "nl"},
	{"italia", "it"},
	{"laopeoplesdemocraticrepublic", "la"},
	{"macau", "mo"},
	{"macedonia", "mk"},
	{"northernireland", "gb"},
	{"republicofkorea", "kr"},
	{"republicofmoldova", "md"},
	{"russianfederation", "ru"},
	{"scotland", "gb"},
	{"swaziland", "sz"},
	{"syrianarabrepublic", "sy"},
	{"thenetherlands", "nl"},
	{"turkiye", "tr"},
	{"uae", "ae"},
	{"uk", "gb"},
	{"unitedrepublicoftanzania", "tz"},
	{"unitedstatesofamerica", "us"},
	{"wales", "gb"}
};

static const Alias us_states[] = {
	{"alabama", "al"}, {"alaska", "ak"}, {"arizona", "az"},
	{"arkansas", "ar"}, {"california", "ca"}, {"colorado", "co"},
	{"connecticut", "ct"}, {"delaware", "de"}, {"districtofcolumbia", "dc"},
	{"florida", "fl"}, {"georgia", "ga"}, {"hawaii", "hi"}, {"idaho", "id"},
	{"illinois", "il"}, {"indiana", "in"}, {"iowa", "ia"}, {"kansas", "ks"},
	{"kentucky", "ky"}, {"louisiana", "la"}, {"maine", "me"},
	{"maryland", "md"}, {"massachusetts", "ma"}, {"michigan", "mi"},
	{"minnesota", "mn"}, {"mississippi", "ms"}, {"missouri", "mo"},
	{"montana", "mt"}, {"nebraska", "ne"}, {"nevada", "nv"},
	{"newhampshire", "nh"}, {"newjersey", "nj"}, {"newmexico", "nm"},
	{"newyork", "ny"}, {"northcarolina", "nc"}, {"northdakota", "nd"},
	{"ohio", "oh"}, {"oklahoma", "ok"}, {"oregon", "or"},
	{"pennsylvania", "pa"}, {"rhodeisland", "ri"}, {"southcarolina", "sc"},
	{"southdakota", "sd"}, {"tennessee", "tn"}, {"texas", "tx"},
	{"utah", "ut"}, {"vermont", "vt"}, {"virginia", "va"},
	{"washington", "wa"}, {"westvirginia", "wv"}, {"wisconsin", "wi"},
	{"wyoming", "wy"}, {"puertorico", "pr"}, {"guam", "gu"},
	{"americansamoa", "as"}, {"usvirginislands", "vi"},
	{"virginislands", "vi"}, {"northernmarianaislands", "mp"}
};

static bool
equals(const char *word, const char *str, int len)
{
	return strlen(word) == len && memcmp(word, str, len) == 0;
}

static const Country *
country_by_code(const char *alpha2)
{
	int			low = 0;
	int			high = lengthof(countries) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		int			order = strncmp(alpha2, countries[middle].alpha2, 2);

		if (order == 0)
			return &countries[middle];
		if (order < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return NULL;
}

static const char *
alias_find(const Alias *aliases, int count, const char *letters, int len)
{
	for (int i = 0; i < count; i++)
	{
		if (equals(aliases[i].name, letters, len))
			return aliases[i].code;
	}
	return NULL;
}

const char *
tte_country_find(const char *letters, int len)
{
	const Country *country = (len == 2) ? country_by_code(letters) : NULL;

	if (country != NULL)
		return country->alpha2;
	for (int i = 0; len > 2 && i < lengthof(countries); i++)
	{
		if (equals(countries[i].name, letters, len) ||
			(len == 3 && equals(countries[i].alpha3, letters, len)))
			return countries[i].alpha2;
	}
	return alias_find(country_aliases, lengthof(country_aliases), letters, len);
}

const char *
tte_us_state_find(const char *letters, int len)
{
	return alias_find(us_states, lengthof(us_states), letters, len);
}
