/*-------------------------------------------------------------------------
 *
 * country.c
 *	  Countries, their calling codes and how their numbers are dialled,
 *	  states of the USA.
 *
 * Countries are those of ISO 3166-1, and Kosovo under its user-assigned code.
 * Calling codes and trunk prefixes follow the national numbering plans that
 * the ITU publishes.  Where a plan leaves room for doubt the table is the
 * stricter one: a number that does not fit is left out, never guessed.
 *
 *-------------------------------------------------------------------------
 */
#include "event/country.h"

#include "event/catalog.h"

typedef struct Country
{
	const char *alpha2;
	const char *alpha3;
	const char *calling_code;
	const char *name;			/* letters only */
} Country;

typedef struct Alias
{
	const char *name;
	const char *code;
} Alias;

/* sorted by alpha2 */
static const Country countries[] = {
	{"ad", "and", "376", "andorra"},
	{"ae", "are", "971", "unitedarabemirates"},
	{"af", "afg", "93", "afghanistan"},
	{"ag", "atg", "1", "antiguaandbarbuda"},
	{"ai", "aia", "1", "anguilla"},
	{"al", "alb", "355", "albania"},
	{"am", "arm", "374", "armenia"},
	{"ao", "ago", "244", "angola"},
	{"aq", "ata", "672", "antarctica"},
	{"ar", "arg", "54", "argentina"},
	{"as", "asm", "1", "americansamoa"},
	{"at", "aut", "43", "austria"},
	{"au", "aus", "61", "australia"},
	{"aw", "abw", "297", "aruba"},
	{"ax", "ala", "358", "alandislands"},
	{"az", "aze", "994", "azerbaijan"},
	{"ba", "bih", "387", "bosniaandherzegovina"},
	{"bb", "brb", "1", "barbados"},
	{"bd", "bgd", "880", "bangladesh"},
	{"be", "bel", "32", "belgium"},
	{"bf", "bfa", "226", "burkinafaso"},
	{"bg", "bgr", "359", "bulgaria"},
	{"bh", "bhr", "973", "bahrain"},
	{"bi", "bdi", "257", "burundi"},
	{"bj", "ben", "229", "benin"},
	{"bl", "blm", "590", "saintbarthelemy"},
	{"bm", "bmu", "1", "bermuda"},
	{"bn", "brn", "673", "brunei"},
	{"bo", "bol", "591", "bolivia"},
	{"bq", "bes", "599", "bonaire"},
	{"br", "bra", "55", "brazil"},
	{"bs", "bhs", "1", "bahamas"},
	{"bt", "btn", "975", "bhutan"},
	{"bv", "bvt", "47", "bouvetisland"},
	{"bw", "bwa", "267", "botswana"},
	{"by", "blr", "375", "belarus"},
	{"bz", "blz", "501", "belize"},
	{"ca", "can", "1", "canada"},
	{"cc", "cck", "61", "cocosislands"},
	{"cd", "cod", "243", "democraticrepublicofthecongo"},
	{"cf", "caf", "236", "centralafricanrepublic"},
	{"cg", "cog", "242", "congo"},
	{"ch", "che", "41", "switzerland"},
	{"ci", "civ", "225", "ivorycoast"},
	{"ck", "cok", "682", "cookislands"},
	{"cl", "chl", "56", "chile"},
	{"cm", "cmr", "237", "cameroon"},
	{"cn", "chn", "86", "china"},
	{"co", "col", "57", "colombia"},
	{"cr", "cri", "506", "costarica"},
	{"cu", "cub", "53", "cuba"},
	{"cv", "cpv", "238", "capeverde"},
	{"cw", "cuw", "599", "curacao"},
	{"cx", "cxr", "61", "christmasisland"},
	{"cy", "cyp", "357", "cyprus"},
	{"cz", "cze", "420", "czechia"},
	{"de", "deu", "49", "germany"},
	{"dj", "dji", "253", "djibouti"},
	{"dk", "dnk", "45", "denmark"},
	{"dm", "dma", "1", "dominica"},
	{"do", "dom", "1", "dominicanrepublic"},
	{"dz", "dza", "213", "algeria"},
	{"ec", "ecu", "593", "ecuador"},
	{"ee", "est", "372", "estonia"},
	{"eg", "egy", "20", "egypt"},
	{"eh", "esh", "212", "westernsahara"},
	{"er", "eri", "291", "eritrea"},
	{"es", "esp", "34", "spain"},
	{"et", "eth", "251", "ethiopia"},
	{"fi", "fin", "358", "finland"},
	{"fj", "fji", "679", "fiji"},
	{"fk", "flk", "500", "falklandislands"},
	{"fm", "fsm", "691", "micronesia"},
	{"fo", "fro", "298", "faroeislands"},
	{"fr", "fra", "33", "france"},
	{"ga", "gab", "241", "gabon"},
	{"gb", "gbr", "44", "unitedkingdom"},
	{"gd", "grd", "1", "grenada"},
	{"ge", "geo", "995", "georgia"},
	{"gf", "guf", "594", "frenchguiana"},
	{"gg", "ggy", "44", "guernsey"},
	{"gh", "gha", "233", "ghana"},
	{"gi", "gib", "350", "gibraltar"},
	{"gl", "grl", "299", "greenland"},
	{"gm", "gmb", "220", "gambia"},
	{"gn", "gin", "224", "guinea"},
	{"gp", "glp", "590", "guadeloupe"},
	{"gq", "gnq", "240", "equatorialguinea"},
	{"gr", "grc", "30", "greece"},
	{"gs", "sgs", "500", "southgeorgiaandthesouthsandwichislands"},
	{"gt", "gtm", "502", "guatemala"},
	{"gu", "gum", "1", "guam"},
	{"gw", "gnb", "245", "guineabissau"},
	{"gy", "guy", "592", "guyana"},
	{"hk", "hkg", "852", "hongkong"},
	{"hm", "hmd", "672", "heardislandandmcdonaldislands"},
	{"hn", "hnd", "504", "honduras"},
	{"hr", "hrv", "385", "croatia"},
	{"ht", "hti", "509", "haiti"},
	{"hu", "hun", "36", "hungary"},
	{"id", "idn", "62", "indonesia"},
	{"ie", "irl", "353", "ireland"},
	{"il", "isr", "972", "israel"},
	{"im", "imn", "44", "isleofman"},
	{"in", "ind", "91", "india"},
	{"io", "iot", "246", "britishindianoceanterritory"},
	{"iq", "irq", "964", "iraq"},
	{"ir", "irn", "98", "iran"},
	{"is", "isl", "354", "iceland"},
	{"it", "ita", "39", "italy"},
	{"je", "jey", "44", "jersey"},
	{"jm", "jam", "1", "jamaica"},
	{"jo", "jor", "962", "jordan"},
	{"jp", "jpn", "81", "japan"},
	{"ke", "ken", "254", "kenya"},
	{"kg", "kgz", "996", "kyrgyzstan"},
	{"kh", "khm", "855", "cambodia"},
	{"ki", "kir", "686", "kiribati"},
	{"km", "com", "269", "comoros"},
	{"kn", "kna", "1", "saintkittsandnevis"},
	{"kp", "prk", "850", "northkorea"},
	{"kr", "kor", "82", "southkorea"},
	{"kw", "kwt", "965", "kuwait"},
	{"ky", "cym", "1", "caymanislands"},
	{"kz", "kaz", "7", "kazakhstan"},
	{"la", "lao", "856", "laos"},
	{"lb", "lbn", "961", "lebanon"},
	{"lc", "lca", "1", "saintlucia"},
	{"li", "lie", "423", "liechtenstein"},
	{"lk", "lka", "94", "srilanka"},
	{"lr", "lbr", "231", "liberia"},
	{"ls", "lso", "266", "lesotho"},
	{"lt", "ltu", "370", "lithuania"},
	{"lu", "lux", "352", "luxembourg"},
	{"lv", "lva", "371", "latvia"},
	{"ly", "lby", "218", "libya"},
	{"ma", "mar", "212", "morocco"},
	{"mc", "mco", "377", "monaco"},
	{"md", "mda", "373", "moldova"},
	{"me", "mne", "382", "montenegro"},
	{"mf", "maf", "590", "saintmartin"},
	{"mg", "mdg", "261", "madagascar"},
	{"mh", "mhl", "692", "marshallislands"},
	{"mk", "mkd", "389", "northmacedonia"},
	{"ml", "mli", "223", "mali"},
	{"mm", "mmr", "95", "myanmar"},
	{"mn", "mng", "976", "mongolia"},
	{"mo", "mac", "853", "macao"},
	{"mp", "mnp", "1", "northernmarianaislands"},
	{"mq", "mtq", "596", "martinique"},
	{"mr", "mrt", "222", "mauritania"},
	{"ms", "msr", "1", "montserrat"},
	{"mt", "mlt", "356", "malta"},
	{"mu", "mus", "230", "mauritius"},
	{"mv", "mdv", "960", "maldives"},
	{"mw", "mwi", "265", "malawi"},
	{"mx", "mex", "52", "mexico"},
	{"my", "mys", "60", "malaysia"},
	{"mz", "moz", "258", "mozambique"},
	{"na", "nam", "264", "namibia"},
	{"nc", "ncl", "687", "newcaledonia"},
	{"ne", "ner", "227", "niger"},
	{"nf", "nfk", "672", "norfolkisland"},
	{"ng", "nga", "234", "nigeria"},
	{"ni", "nic", "505", "nicaragua"},
	{"nl", "nld", "31", "netherlands"},
	{"no", "nor", "47", "norway"},
	{"np", "npl", "977", "nepal"},
	{"nr", "nru", "674", "nauru"},
	{"nu", "niu", "683", "niue"},
	{"nz", "nzl", "64", "newzealand"},
	{"om", "omn", "968", "oman"},
	{"pa", "pan", "507", "panama"},
	{"pe", "per", "51", "peru"},
	{"pf", "pyf", "689", "frenchpolynesia"},
	{"pg", "png", "675", "papuanewguinea"},
	{"ph", "phl", "63", "philippines"},
	{"pk", "pak", "92", "pakistan"},
	{"pl", "pol", "48", "poland"},
	{"pm", "spm", "508", "saintpierreandmiquelon"},
	{"pn", "pcn", "64", "pitcairn"},
	{"pr", "pri", "1", "puertorico"},
	{"ps", "pse", "970", "palestine"},
	{"pt", "prt", "351", "portugal"},
	{"pw", "plw", "680", "palau"},
	{"py", "pry", "595", "paraguay"},
	{"qa", "qat", "974", "qatar"},
	{"re", "reu", "262", "reunion"},
	{"ro", "rou", "40", "romania"},
	{"rs", "srb", "381", "serbia"},
	{"ru", "rus", "7", "russia"},
	{"rw", "rwa", "250", "rwanda"},
	{"sa", "sau", "966", "saudiarabia"},
	{"sb", "slb", "677", "solomonislands"},
	{"sc", "syc", "248", "seychelles"},
	{"sd", "sdn", "249", "sudan"},
	{"se", "swe", "46", "sweden"},
	{"sg", "sgp", "65", "singapore"},
	{"sh", "shn", "290", "sainthelena"},
	{"si", "svn", "386", "slovenia"},
	{"sj", "sjm", "47", "svalbardandjanmayen"},
	{"sk", "svk", "421", "slovakia"},
	{"sl", "sle", "232", "sierraleone"},
	{"sm", "smr", "378", "sanmarino"},
	{"sn", "sen", "221", "senegal"},
	{"so", "som", "252", "somalia"},
	{"sr", "sur", "597", "suriname"},
	{"ss", "ssd", "211", "southsudan"},
	{"st", "stp", "239", "saotomeandprincipe"},
	{"sv", "slv", "503", "elsalvador"},
	{"sx", "sxm", "1", "sintmaarten"},
	{"sy", "syr", "963", "syria"},
	{"sz", "swz", "268", "eswatini"},
	{"tc", "tca", "1", "turksandcaicosislands"},
	{"td", "tcd", "235", "chad"},
	{"tf", "atf", "262", "frenchsouthernterritories"},
	{"tg", "tgo", "228", "togo"},
	{"th", "tha", "66", "thailand"},
	{"tj", "tjk", "992", "tajikistan"},
	{"tk", "tkl", "690", "tokelau"},
	{"tl", "tls", "670", "timorleste"},
	{"tm", "tkm", "993", "turkmenistan"},
	{"tn", "tun", "216", "tunisia"},
	{"to", "ton", "676", "tonga"},
	{"tr", "tur", "90", "turkey"},
	{"tt", "tto", "1", "trinidadandtobago"},
	{"tv", "tuv", "688", "tuvalu"},
	{"tw", "twn", "886", "taiwan"},
	{"tz", "tza", "255", "tanzania"},
	{"ua", "ukr", "380", "ukraine"},
	{"ug", "uga", "256", "uganda"},
	{"um", "umi", "1", "unitedstatesminoroutlyingislands"},
	{"us", "usa", "1", "unitedstates"},
	{"uy", "ury", "598", "uruguay"},
	{"uz", "uzb", "998", "uzbekistan"},
	{"va", "vat", "39", "vaticancity"},
	{"vc", "vct", "1", "saintvincentandthegrenadines"},
	{"ve", "ven", "58", "venezuela"},
	{"vg", "vgb", "1", "britishvirginislands"},
	{"vi", "vir", "1", "usvirginislands"},
	{"vn", "vnm", "84", "vietnam"},
	{"vu", "vut", "678", "vanuatu"},
	{"wf", "wlf", "681", "wallisandfutuna"},
	{"ws", "wsm", "685", "samoa"},
	{"xk", "xkx", "383", "kosovo"},
	{"ye", "yem", "967", "yemen"},
	{"yt", "myt", "262", "mayotte"},
	{"za", "zaf", "27", "southafrica"},
	{"zm", "zmb", "260", "zambia"},
	{"zw", "zwe", "263", "zimbabwe"}
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

/*
 * Calling code, trunk prefixes, shortest and longest number behind the
 * calling code, the same for mobile numbers, may a number begin with 0.
 */
static const TtePhonePlan plans[] = {
	{"1", "1", 10, 10, 10, 10, false},
	{"20", "0", 8, 10, 10, 10, false},
	{"211", "0", 9, 9, 9, 9, false},
	{"212", "0", 9, 9, 9, 9, false},
	{"213", "0", 8, 9, 9, 9, false},
	{"216", "", 8, 8, 8, 8, false},
	{"218", "0", 9, 9, 9, 9, false},
	{"220", "", 7, 7, 7, 7, false},
	{"221", "", 9, 9, 9, 9, false},
	{"222", "", 8, 8, 8, 8, false},
	{"223", "", 8, 8, 8, 8, false},
	{"224", "", 8, 9, 9, 9, false},
	{"225", "", 10, 10, 10, 10, true},
	{"226", "", 8, 8, 8, 8, true},
	{"227", "", 8, 8, 8, 8, false},
	{"228", "", 8, 8, 8, 8, false},
	{"229", "", 10, 10, 10, 10, true},
	{"230", "", 7, 8, 8, 8, false},
	{"231", "0", 7, 9, 7, 9, false},
	{"232", "0", 8, 8, 8, 8, false},
	{"233", "0", 9, 9, 9, 9, false},
	{"234", "0", 7, 10, 10, 10, false},
	{"235", "", 8, 8, 8, 8, false},
	{"236", "", 8, 8, 8, 8, false},
	{"237", "", 9, 9, 9, 9, false},
	{"238", "", 7, 7, 7, 7, false},
	{"239", "", 7, 7, 7, 7, false},
	{"240", "", 9, 9, 9, 9, false},
	{"241", "", 7, 8, 7, 8, true},
	{"242", "", 9, 9, 9, 9, true},
	{"243", "0", 7, 9, 7, 9, false},
	{"244", "", 9, 9, 9, 9, false},
	{"245", "", 9, 9, 9, 9, false},
	{"246", "", 7, 7, 7, 7, false},
	{"247", "", 5, 5, 5, 5, false},
	{"248", "", 7, 7, 7, 7, false},
	{"249", "0", 9, 9, 9, 9, false},
	{"250", "0", 8, 9, 9, 9, false},
	{"251", "0", 9, 9, 9, 9, false},
	{"252", "0", 6, 9, 7, 9, false},
	{"253", "", 8, 8, 8, 8, false},
	{"254", "0", 7, 9, 9, 9, false},
	{"255", "0", 9, 9, 9, 9, false},
	{"256", "0", 9, 9, 9, 9, false},
	{"257", "", 8, 8, 8, 8, false},
	{"258", "", 8, 9, 9, 9, false},
	{"260", "0", 9, 9, 9, 9, false},
	{"261", "0", 9, 9, 9, 9, false},
	{"262", "0", 9, 9, 9, 9, false},
	{"263", "0", 5, 10, 9, 9, false},
	{"264", "0", 8, 9, 9, 9, false},
	{"265", "0", 7, 9, 9, 9, false},
	{"266", "", 8, 8, 8, 8, false},
	{"267", "", 7, 8, 8, 8, false},
	{"268", "", 8, 8, 8, 8, false},
	{"269", "", 7, 7, 7, 7, false},
	{"27", "0", 9, 9, 9, 9, false},
	{"290", "", 4, 5, 5, 5, false},
	{"291", "0", 7, 7, 7, 7, false},
	{"297", "", 7, 7, 7, 7, false},
	{"298", "", 6, 6, 6, 6, false},
	{"299", "", 6, 6, 6, 6, false},
	{"30", "", 10, 10, 10, 10, false},
	{"31", "0", 9, 9, 9, 9, false},
	{"32", "0", 8, 9, 9, 9, false},
	{"33", "0", 9, 9, 9, 9, false},
	{"34", "", 9, 9, 9, 9, false},
	{"350", "", 8, 8, 8, 8, false},
	{"351", "", 9, 9, 9, 9, false},
	{"352", "", 4, 11, 9, 9, false},
	{"353", "0", 7, 10, 9, 9, false},
	{"354", "", 7, 9, 7, 9, false},
	{"355", "0", 8, 9, 9, 9, false},
	{"356", "", 8, 8, 8, 8, false},
	{"357", "", 8, 8, 8, 8, false},
	{"358", "0", 6, 10, 9, 10, false},
	{"359", "0", 6, 9, 8, 9, false},
	{"36", "06", 8, 9, 9, 9, false},
	{"370", "0|8", 8, 8, 8, 8, false},
	{"371", "", 8, 8, 8, 8, false},
	{"372", "", 7, 8, 7, 8, false},
	{"373", "0", 8, 8, 8, 8, false},
	{"374", "0", 8, 8, 8, 8, false},
	{"375", "80|0", 9, 9, 9, 9, false},
	{"376", "", 6, 9, 6, 9, false},
	{"377", "0", 8, 9, 8, 9, false},
	{"378", "", 8, 10, 8, 10, true},
	{"380", "0", 9, 9, 9, 9, false},
	{"381", "0", 7, 12, 8, 10, false},
	{"382", "0", 8, 8, 8, 8, false},
	{"383", "0", 8, 9, 8, 8, false},
	{"385", "0", 8, 9, 8, 9, false},
	{"386", "0", 8, 8, 8, 8, false},
	{"387", "0", 8, 9, 8, 9, false},
	{"389", "0", 8, 8, 8, 8, false},
	{"39", "", 6, 11, 9, 10, true},
	{"40", "0", 9, 9, 9, 9, false},
	{"41", "0", 9, 9, 9, 9, false},
	{"420", "", 9, 9, 9, 9, false},
	{"421", "0", 9, 9, 9, 9, false},
	{"423", "0", 7, 9, 7, 9, false},
	{"43", "0", 7, 13, 10, 13, false},
	{"44", "0", 9, 10, 10, 10, false},
	{"45", "", 8, 8, 8, 8, false},
	{"46", "0", 7, 9, 9, 9, false},
	{"47", "", 8, 8, 8, 8, false},
	{"48", "", 9, 9, 9, 9, false},
	{"49", "0", 6, 13, 10, 11, false},
	{"500", "", 5, 5, 5, 5, false},
	{"501", "", 7, 7, 7, 7, false},
	{"502", "", 8, 8, 8, 8, false},
	{"503", "", 8, 8, 8, 8, false},
	{"504", "", 8, 8, 8, 8, false},
	{"505", "", 8, 8, 8, 8, false},
	{"506", "", 8, 8, 8, 8, false},
	{"507", "", 7, 8, 7, 8, false},
	{"508", "0", 6, 6, 6, 6, false},
	{"509", "", 8, 8, 8, 8, false},
	{"51", "0", 8, 9, 9, 9, false},
	{"52", "01|044|045", 10, 10, 10, 10, false},
	{"53", "0", 8, 8, 8, 8, false},
	{"54", "0", 10, 11, 10, 11, false},
	{"55", "0", 10, 11, 10, 11, false},
	{"56", "", 9, 9, 9, 9, false},
	{"57", "0", 10, 10, 10, 10, false},
	{"58", "0", 10, 10, 10, 10, false},
	{"590", "0", 9, 9, 9, 9, false},
	{"591", "0", 8, 8, 8, 8, false},
	{"592", "", 7, 7, 7, 7, false},
	{"593", "0", 8, 9, 9, 9, false},
	{"594", "0", 9, 9, 9, 9, false},
	{"595", "0", 7, 9, 9, 9, false},
	{"596", "0", 9, 9, 9, 9, false},
	{"597", "", 6, 7, 7, 7, false},
	{"598", "0", 8, 8, 8, 8, false},
	{"599", "", 7, 8, 7, 8, false},
	{"60", "0", 8, 10, 9, 10, false},
	{"61", "0", 9, 9, 9, 9, false},
	{"62", "0", 8, 12, 9, 12, false},
	{"63", "0", 8, 10, 10, 10, false},
	{"64", "0", 8, 10, 8, 10, false},
	{"65", "", 8, 8, 8, 8, false},
	{"66", "0", 8, 9, 9, 9, false},
	{"670", "", 7, 8, 8, 8, false},
	{"672", "", 6, 6, 6, 6, false},
	{"673", "", 7, 7, 7, 7, false},
	{"674", "", 7, 7, 7, 7, false},
	{"675", "", 7, 8, 8, 8, false},
	{"676", "", 5, 7, 7, 7, false},
	{"677", "", 5, 7, 5, 7, false},
	{"678", "", 5, 7, 7, 7, false},
	{"679", "", 7, 7, 7, 7, false},
	{"680", "", 7, 7, 7, 7, false},
	{"681", "", 6, 6, 6, 6, false},
	{"682", "", 5, 5, 5, 5, false},
	{"683", "", 4, 7, 7, 7, false},
	{"685", "", 5, 10, 7, 10, false},
	{"686", "0", 8, 8, 8, 8, false},
	{"687", "", 6, 6, 6, 6, false},
	{"688", "", 5, 7, 6, 7, false},
	{"689", "", 8, 8, 8, 8, false},
	{"690", "", 4, 7, 4, 7, false},
	{"691", "", 7, 7, 7, 7, false},
	{"692", "1", 7, 7, 7, 7, false},
	{"7", "8", 10, 10, 10, 10, false},
	{"800", "", 8, 8, 8, 8, true},
	{"808", "", 8, 8, 8, 8, false},
	{"81", "0", 9, 10, 10, 10, false},
	{"82", "0", 8, 10, 9, 10, false},
	{"84", "0", 9, 10, 9, 9, false},
	{"850", "0", 8, 10, 10, 10, false},
	{"852", "", 8, 8, 8, 8, false},
	{"853", "", 8, 8, 8, 8, false},
	{"855", "0", 8, 9, 8, 9, false},
	{"856", "0", 8, 10, 10, 10, false},
	{"86", "0", 9, 11, 11, 11, false},
	{"870", "", 9, 12, 9, 12, false},
	{"878", "", 12, 12, 12, 12, false},
	{"880", "0", 8, 10, 10, 10, false},
	{"881", "", 9, 9, 9, 9, true},
	{"882", "", 7, 12, 7, 12, false},
	{"883", "", 9, 12, 9, 12, false},
	{"886", "0", 8, 9, 9, 9, false},
	{"888", "", 11, 11, 11, 11, true},
	{"90", "0", 10, 10, 10, 10, false},
	{"91", "0", 10, 10, 10, 10, false},
	{"92", "0", 9, 10, 10, 10, false},
	{"93", "0", 9, 9, 9, 9, false},
	{"94", "0", 9, 9, 9, 9, false},
	{"95", "0", 7, 10, 8, 10, false},
	{"960", "", 7, 7, 7, 7, false},
	{"961", "0", 7, 8, 7, 8, false},
	{"962", "0", 8, 9, 9, 9, false},
	{"963", "0", 8, 9, 9, 9, false},
	{"964", "0", 8, 10, 10, 10, false},
	{"965", "", 8, 8, 8, 8, false},
	{"966", "0", 9, 9, 9, 9, false},
	{"967", "0", 7, 9, 9, 9, false},
	{"968", "", 8, 8, 8, 8, false},
	{"970", "0", 8, 9, 9, 9, false},
	{"971", "0", 8, 9, 9, 9, false},
	{"972", "0", 8, 9, 9, 9, false},
	{"973", "", 8, 8, 8, 8, false},
	{"974", "", 8, 8, 8, 8, false},
	{"975", "", 7, 8, 8, 8, false},
	{"976", "0", 8, 10, 8, 8, false},
	{"977", "0", 8, 10, 10, 10, false},
	{"979", "", 9, 9, 9, 9, false},
	{"98", "0", 10, 10, 10, 10, false},
	{"992", "", 9, 9, 9, 9, true},
	{"993", "8", 8, 8, 8, 8, false},
	{"994", "0", 9, 9, 9, 9, false},
	{"995", "0", 9, 9, 9, 9, false},
	{"996", "0", 9, 9, 9, 9, false},
	{"998", "8", 9, 9, 9, 9, false}
};

static bool
equals(const char *word, const char *str, int len)
{
	return strlen(word) == len && memcmp(word, str, len) == 0;
}

/*
 * Country calling codes are prefix-free, and the first digits tell their
 * length: the plans are in the order of their text, so the last plan not
 * behind the digits is the only candidate.
 */
const TtePhonePlan *
tte_phone_plan_of(const char *digits, int len)
{
	int			low = 0;
	int			high = lengthof(plans) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		int			codelen = strlen(plans[middle].code);
		int			order = strncmp(digits, plans[middle].code, Min(len, codelen));

		if (order == 0 && len >= codelen)
			return &plans[middle];
		if (order < 0 || (order == 0 && len < codelen))
			high = middle - 1;
		else
			low = middle + 1;
	}
	return NULL;
}

const TtePhonePlan *
tte_phone_plan(const char *code, int len)
{
	const TtePhonePlan *plan = tte_phone_plan_of(code, len);

	return (plan != NULL && strlen(plan->code) == len) ? plan : NULL;
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

const char *
tte_calling_code_of(const char *given)
{
	const char *digits = (*given == '+') ? given + 1 : given;
	int			len = strlen(digits);
	const TtePhonePlan *plan;
	const Country *country;
	const char *code;
	char		lower[2];

	if (len >= 1 && len <= 3 && strspn(digits, "0123456789") == len)
	{
		plan = tte_phone_plan(digits, len);
		return plan != NULL ? plan->code : NULL;
	}
	if (strlen(given) != 2)
		return NULL;
	for (int i = 0; i < 2; i++)
		lower[i] = pg_ascii_tolower((unsigned char) given[i]);
	code = tte_country_find(lower, 2);
	country = (code != NULL) ? country_by_code(code) : NULL;
	return country != NULL ? country->calling_code : NULL;
}
