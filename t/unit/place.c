/*-------------------------------------------------------------------------
 *
 * place.c
 *	  Unit test of event/place.c and country.c: names, places and countries.
 *
 *-------------------------------------------------------------------------
 */
#include "check_identifier.h"

static const IdentifierCase identifier_cases[] = {
	{TTE_FIRST_NAME, "Jane", NULL, NULL, "jane"},
	{TTE_FIRST_NAME, " Jane ", NULL, NULL, "jane"},
	{TTE_LAST_NAME, "O'Doe", NULL, NULL, "odoe"},
	{TTE_LAST_NAME, "O\xe2\x80\x99" "Doe", NULL, NULL, "odoe"},
	{TTE_LAST_NAME, "Smith-Jones", NULL, NULL, "smithjones"},
	{TTE_LAST_NAME, "van   der  Berg", NULL, NULL, "van der berg"},
	{TTE_LAST_NAME, "van" NBSP "der\xe3\x80\x80" "Berg", NULL, NULL, "van der berg"},
	{TTE_FIRST_NAME, "J. R. - R.", NULL, NULL, "j r r"},
	{TTE_FIRST_NAME, "\xc3\x89lodie", NULL, NULL, "\xc3\xa9lodie"},
	{TTE_FIRST_NAME, "E\xcc\x81lodie", NULL, NULL, "\xc3\xa9lodie"},
	{TTE_FIRST_NAME, "\xc4\xb0lker", NULL, NULL, "i\xcc\x87lker"},
	{TTE_FIRST_NAME, "\xce\x93\xce\x99\xce\x91\xce\x9d\xce\x9d\xce\x97\xce\xa3", NULL, NULL,
	"\xce\xb3\xce\xb9\xce\xb1\xce\xbd\xce\xbd\xce\xb7\xcf\x82"},
	{TTE_LAST_NAME, "\xd0\x98\xd0\x92\xd0\x90\xd0\x9d\xd0\x9e\xd0\x92", NULL, NULL,
	"\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd\xd0\xbe\xd0\xb2"},
	{TTE_LAST_NAME, "\xe6\x9d\x8e", NULL, NULL, "\xe6\x9d\x8e"},
	{TTE_LAST_NAME, "Na", NULL, NULL, "na"},
	{TTE_LAST_NAME, "...", NULL, NULL, "!junk"},
	{TTE_LAST_NAME, "\xe2\x80\x94", NULL, NULL, "!junk"},
	{TTE_LAST_NAME, "None", NULL, NULL, "!junk"},
	{TTE_LAST_NAME, "Doe\xff", NULL, NULL, "!encoding"},
	{TTE_LAST_NAME, HEX64, NULL, NULL, HEX64_LOWER},
	{TTE_ZIP_CODE, "95110", NULL, NULL, "95110"},
	{TTE_ZIP_CODE, "M5V 3L9", NULL, NULL, "m5v3l9"},
	{TTE_ZIP_CODE, "95110-2345", NULL, "us", "95110"},
	{TTE_ZIP_CODE, "951102345", NULL, "us", "95110"},
	{TTE_ZIP_CODE, "9511", NULL, "us", "!zip_syntax"},
	{TTE_ZIP_CODE, "00000-3749", NULL, "us", "!junk"},
	{TTE_ZIP_CODE, "M5V 3L9", NULL, "us", "!zip_syntax"},
	{TTE_ZIP_CODE, "01310-100", NULL, "br", "01310100"},
	{TTE_ZIP_CODE, "SW1A 1AA", NULL, "gb", "sw1a1aa"},
	{TTE_ZIP_CODE, "00000", NULL, NULL, "!junk"},
	{TTE_ZIP_CODE, "12/34", NULL, NULL, "!zip_syntax"},
	{TTE_ZIP_CODE, "n/a", NULL, NULL, "!junk"},
	{TTE_CITY, "San Jose", NULL, NULL, "sanjose"},
	{TTE_CITY, "S\xc3\xa3o Paulo", NULL, NULL, "saopaulo"},
	{TTE_CITY, "Krak\xc3\xb3w", NULL, NULL, "krakow"},
	{TTE_CITY, "\xc5\x81\xc3\xb3" "d\xc5\xba", NULL, NULL, "lodz"},
	{TTE_CITY, "Gie\xc3\x9f" "en", NULL, NULL, "giessen"},
	{TTE_CITY, "\xc3\x98rsted", NULL, NULL, "orsted"},
	{TTE_CITY, "I\xc4\x9f" "d\xc4\xb1r", NULL, NULL, "igdir"},
	{TTE_CITY, "\xc4\xb0stanbul", NULL, NULL, "istanbul"},
	{TTE_CITY, "St. John's", NULL, NULL, "stjohns"},
	{TTE_CITY, "\xe6\x9d\xb1\xe4\xba\xac", NULL, NULL, "!no_latin"},
	{TTE_CITY, "\xef\xbc\xb4\xef\xbd\x8f\xef\xbd\x8b\xef\xbd\x99\xef\xbd\x8f", NULL, NULL, "tokyo"},
	{TTE_CITY, HEX64, NULL, NULL, "!hashed"},
	{TTE_STATE, "CA", NULL, "us", "ca"},
	{TTE_STATE, "New York", NULL, "us", "ny"},
	{TTE_STATE, "california", NULL, NULL, "ca"},
	{TTE_STATE, "Georgia", NULL, "ge", "georgia"},
	{TTE_STATE, "Bayern", NULL, "de", "bayern"},
	{TTE_COUNTRY, "US", NULL, NULL, "us"},
	{TTE_COUNTRY, "usa", NULL, NULL, "us"},
	{TTE_COUNTRY, "UK", NULL, NULL, "gb"},
	{TTE_COUNTRY, "na", NULL, NULL, "na"},
	{TTE_COUNTRY, "Germany", NULL, NULL, "de"},
	{TTE_COUNTRY, "DEU", NULL, NULL, "de"},
	{TTE_COUNTRY, "C\xc3\xb4te d'Ivoire", NULL, NULL, "ci"},
	{TTE_COUNTRY, "T\xc3\xbcrkiye", NULL, NULL, "tr"},
	{TTE_COUNTRY, "United States of America", NULL, NULL, "us"},
	{TTE_COUNTRY, "zz", NULL, NULL, "!country"},
	{TTE_COUNTRY, "Atlantis", NULL, NULL, "!country"},
	{TTE_STATE, "AZ - Arizona", NULL, "us", "az"},
	{TTE_STATE, "US-AL", NULL, "us", "al"},
	{TTE_STATE, "Massachusetts (MA)", NULL, "us", "ma"},
	{TTE_STATE, "Massachusetts, USA", NULL, "us", "ma"},
	{TTE_STATE, "Virgin Islands, U.S.", NULL, "us", "vi"},
	{TTE_STATE, "Washington DC", NULL, "us", "dc"},
	{TTE_ZIP_CODE, "95110-2345", NULL, NULL, "95110"},
	{TTE_CITY, "\xc6\x98" "ano", NULL, NULL, "kano"},
	{TTE_CITY, "\xc6\x90" "dubiase", NULL, NULL, "edubiase"},
	{TTE_COUNTRY, "Congo", NULL, NULL, "!country"},
	{TTE_COUNTRY, "B\xe1\xbb\x89", NULL, NULL, "!country"},
	{TTE_COUNTRY, "Venezuela, Bolivarian Republic of", NULL, NULL, "ve"},
	{TTE_LAST_NAME, "\xd8\xb9\xd9\x84\xdb\x8c\xe2\x80\x8c\xd8\xb1\xd8\xb6\xd8\xa7", NULL, NULL, "\xd8\xb9\xd9\x84\xdb\x8c\xe2\x80\x8c\xd8\xb1\xd8\xb6\xd8\xa7"},
	{TTE_COUNTRY, "840", NULL, NULL, "us"},
	{TTE_STATE, "CA - California", NULL, NULL, "ca"},
	{TTE_STATE, "US-CA", NULL, NULL, "ca"},
	{TTE_STATE, "CA-ON", NULL, NULL, "caon"},
	{TTE_STATE, "California / Nevada", NULL, "us", "californianevada"},
	{TTE_STATE, "Washington, D.C.", NULL, "us", "dc"},
	{TTE_STATE, "DE-BY", NULL, "de", "by"},
	{TTE_STATE, "Bas-Rhin", NULL, "fr", "basrhin"},
	{TTE_STATE, "Massachusetts (MA)", NULL, "de", "massachusettsma"},
	{TTE_ZIP_CODE, "95110-2345", NULL, "de", "951102345"},
	{TTE_ZIP_CODE, "951102345", NULL, NULL, "951102345"},
	{TTE_ZIP_CODE, "9511-02345", NULL, NULL, "951102345"},
	{TTE_COUNTRY, "Tanzania, United Republic of", NULL, NULL, "tz"},
	{TTE_COUNTRY, "United Republic of Tanzania", NULL, NULL, "tz"},
	{TTE_COUNTRY, "Bahamas (the)", NULL, NULL, "bs"},
	{TTE_COUNTRY, "The Bahamas", NULL, NULL, "bs"},
	{TTE_COUNTRY, "DE - Germany", NULL, NULL, "de"},
	{TTE_COUNTRY, "Germany (FR)", NULL, NULL, "!country"},
	{TTE_COUNTRY, "\xc3\x96sterreich", NULL, NULL, "at"},
	{TTE_COUNTRY, "\xe6\x97\xa5\xe6\x9c\xac", NULL, NULL, "jp"},
	{TTE_COUNTRY, "\xd0\xa0\xd0\xbe\xd1\x81\xd1\x81\xd0\xb8\xd1\x8f", NULL, NULL, "ru"},
	{TTE_COUNTRY, "Belgi\xc3\xab", NULL, NULL, "be"},
	{TTE_COUNTRY, "Suisse", NULL, NULL, "ch"},
	{TTE_COUNTRY, "276", NULL, NULL, "de"},
	{TTE_COUNTRY, "999", NULL, NULL, "!country"},
	{TTE_COUNTRY, "0", NULL, NULL, "!junk"},
	{TTE_LAST_NAME, "_\xe2\x80\x8cn\xe2\x80\x8c.", NULL, NULL, "n"},
	{TTE_LAST_NAME, "M\xe2\x80\x8e\xc3\xbcller\xe2\x80\x8f", NULL, NULL, "m\xc3\xbcller"},
	{TTE_CITY, "Z\xe2\x80\x8b\xc3\xbcrich", NULL, NULL, "zurich"}
};

static void
test_identifiers(void)
{
	check_identifiers(identifier_cases, lengthof(identifier_cases));
}

int
main(int argc, char **argv)
{
	test_identifiers();
	return tap_end();
}
