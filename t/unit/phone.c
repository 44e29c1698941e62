/*-------------------------------------------------------------------------
 *
 * phone.c
 *	  Unit test of event/phone.c: telephone numbers.  With the argument "phones"
 *	  it reads numbers instead, for script/test-identifiers.
 *
 *-------------------------------------------------------------------------
 */
#include "event/catalog.h"
#include "event/country.h"
#include "event/phone.h"

#include "check_identifier.h"
#include "phone_cases.h"

static const IdentifierCase identifier_cases[] = {
	{TTE_PHONE, "", NULL, NULL, "!"},
	{TTE_PHONE, "abc", NULL, NULL, "!phone_syntax"},
	{TTE_PHONE, "ext 5", NULL, NULL, "!phone_no_country"},
	{TTE_PHONE, "+", NULL, NULL, "!junk"},
	{TTE_PHONE, "-", NULL, NULL, "!junk"},
	{TTE_PHONE, "0", "49", NULL, "!junk"},
	{TTE_PHONE, "NaN", NULL, NULL, "!junk"},
	{TTE_PHONE, "()", NULL, NULL, "!phone_syntax"},
	{TTE_PHONE, "+1 (415) 555-0100", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "(+1)2133734253", NULL, NULL, "+12133734253"},
	{TTE_PHONE, "+1.415.555.0100", "49", NULL, "+14155550100"},
	{TTE_PHONE, "+1 415" NBSP "555\xe2\x80\x91" "0100", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "+1 415 555 0100 ext 5", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "+1 415 555 0100 x5", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "+1 415 555 0100#5", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "+1 415 555 0100;ext=5", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "++14155550100", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "1+4155550100", NULL, NULL, "!phone_syntax"},
	{TTE_PHONE, "4155550100", NULL, NULL, "!phone_no_country"},
	{TTE_PHONE, "4155550100", "1", NULL, "+14155550100"},
	{TTE_PHONE, "(202) 555-0143", "1", NULL, "+12025550143"},
	{TTE_PHONE, "1 415 555 0100", "1", NULL, "+14155550100"},
	{TTE_PHONE, "555-0143", "1", NULL, "!phone_plan"},
	{TTE_PHONE, "115 555 0100", "1", NULL, "!phone_plan"},
	{TTE_PHONE, "015 555 0100", "1", NULL, "!phone_plan"},
	{TTE_PHONE, "4155550100", "210", NULL, "!phone_no_country"},
	{TTE_PHONE, "4155550100", "x", NULL, "!phone_no_country"},
	{TTE_PHONE, "0014155550100", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "00 49 171 2345678", "1", NULL, "+491712345678"},
	{TTE_PHONE, "\xef\xbc\x8b\xef\xbc\x94\xef\xbc\x99", NULL, NULL, "!phone_length"},
	{TTE_PHONE, "+1415555010\xd9\xa0", NULL, NULL, "+14155550100"},
	{TTE_PHONE, "123", NULL, NULL, "!phone_no_country"},
	{TTE_PHONE, "+123", NULL, NULL, "!phone_length"},
	{TTE_PHONE, "+123456789012345678901234567890123456789", NULL, NULL, "!phone_length"},
	{TTE_PHONE, "1234567890123456", NULL, NULL, "!phone_no_country"},
	{TTE_PHONE, "+4917123456789012345", NULL, NULL, "!phone_length"},
	{TTE_PHONE, "+4915123456789012", NULL, NULL, "!phone_length"},
	{TTE_PHONE, "+491512345678901", NULL, NULL, "+491512345678901"},
	{TTE_PHONE, "+0491712345678", NULL, NULL, "!phone_syntax"},
	{TTE_PHONE, "+2101234567", NULL, NULL, "!phone_syntax"},
	{TTE_PHONE, HEX64, NULL, NULL, HEX64_LOWER},
	{TTE_PHONE, "d41d8cd98f00b204e9800998ecf8427e", NULL, NULL, "!not_sha256"},
	{TTE_PHONE, "a318c24216defe206feeb73ef5be00033fa9c4a74d0b967f6532a26ca5906d3b", NULL, NULL, "!junk"},
	{TTE_PHONE, "+1 415\n555 0100", NULL, NULL, "+14155550100"},
	/* trunk prefixes */
	{TTE_PHONE, "0171 2345678", "49", NULL, "+491712345678"},
	{TTE_PHONE, "0171/2345678", "49", NULL, "+491712345678"},
	{TTE_PHONE, "171 2345678", "49", NULL, "+491712345678"},
	{TTE_PHONE, "030 23125123", "49", NULL, "+493023125123"},
	{TTE_PHONE, "2345678", "49", NULL, "!junk"},
	{TTE_PHONE, "49171234567", "49", NULL, "!phone_ambiguous"},
	{TTE_PHONE, "491712345678", "49", NULL, "+491712345678"},
	{TTE_PHONE, "+49 (0)171 2345678", NULL, NULL, "+491712345678"},
	{TTE_PHONE, "+49 0171 2345678", NULL, NULL, "+491712345678"},
	{TTE_PHONE, "+49 00171 2345678", NULL, NULL, "!phone_plan"},
	{TTE_PHONE, "+49 30 23125123", NULL, NULL, "+493023125123"},
	{TTE_PHONE, "07700 900123", "44", NULL, "+447700900123"},
	{TTE_PHONE, "7700900123", "44", NULL, "+447700900123"},
	{TTE_PHONE, "447700900123", "44", NULL, "+447700900123"},
	{TTE_PHONE, "+44 (0)7700 900123", NULL, NULL, "+447700900123"},
	{TTE_PHONE, "06 12 34 56 78", "33", NULL, "+33612345678"},
	{TTE_PHONE, "0412 345 678", "61", NULL, "+61412345678"},
	{TTE_PHONE, "06 1234 5678", "39", NULL, "+390612345678"},
	{TTE_PHONE, "+39 06 1234 5678", NULL, NULL, "+390612345678"},
	{TTE_PHONE, "347 123 4567", "39", NULL, "+393471234567"},
	{TTE_PHONE, "391 123 4567", "39", NULL, "+393911234567"},
	{TTE_PHONE, "0549 123456", "378", NULL, "+3780549123456"},
	{TTE_PHONE, "8 (495) 123-45-67", "7", NULL, "+74951234567"},
	{TTE_PHONE, "+7 800 123 45 67", NULL, NULL, "+78001234567"},
	{TTE_PHONE, "495 123-45-67", "7", NULL, "+74951234567"},
	{TTE_PHONE, "06 20 123 4567", "36", NULL, "+36201234567"},
	{TTE_PHONE, "+36 06 20 123 4567", NULL, NULL, "+36201234567"},
	{TTE_PHONE, "55 1234 5678", "52", NULL, "+525512345678"},
	{TTE_PHONE, "01 55 1234 5678", "52", NULL, "!phone_length"},
	{TTE_PHONE, "044 55 1234 5678", "52", NULL, "!phone_length"},
	{TTE_PHONE, "8 029 123-45-67", "375", NULL, "+375291234567"},
	{TTE_PHONE, "612 345 678", "34", NULL, "+34612345678"},
	{TTE_PHONE, "+34 (0)612 345 678", NULL, NULL, "+34612345678"},
	{TTE_PHONE, "9123456789", "91", NULL, "+919123456789"},
	{TTE_PHONE, "09123456789", "91", NULL, "+919123456789"},
	{TTE_PHONE, "090-1234-5678", "81", NULL, "+819012345678"},
	{TTE_PHONE, "138 1234 5678", "86", NULL, "+8613812345678"},
	{TTE_PHONE, "(11) 91234-5678", "55", NULL, "+5511912345678"},
	{TTE_PHONE, "07 01 02 03 04", "225", NULL, "+2250701020304"},
	{TTE_PHONE, "98 12 34 56", "47", NULL, "+4798123456"}
};

static void
test_identifiers(void)
{
	check_identifiers(identifier_cases, lengthof(identifier_cases));
}

static void
test_calling_codes(void)
{
	static const struct
	{
		const char *given;
		const char *expected;
	}			cases[] = {
		{"DE", "de"}, {"de", "de"}, {"CA", "ca"}, {"uk", "uk"}, {"AQ", "aq"}, {"XK", "xk"},
		{"+49", "49"}, {"49", "49"}, {"1", "1"}, {"+998", "998"}, {"210", NULL}, {"+de", NULL},
		{"0", NULL}, {"0049", NULL}, {"", NULL}, {"+", NULL}, {"ZZ", NULL},
		{"DEU", NULL}, {"4 9", NULL}, {"\xc3\xa9", NULL}
	};

	for (int i = 0; i < lengthof(cases); i++)
		check_text("calling code of", cases[i].given, tte_calling_code_of(cases[i].given), cases[i].expected);
	for (int a = 'a'; a <= 'z'; a++)
	{
		for (int b = 'a'; b <= 'z'; b++)
		{
			char		code[3] = {a, b, '\0'};

			if (tte_country_find(code, 2) != NULL && tte_calling_code_of(code) == NULL)
				check_text("every country has a numbering plan", code, NULL, code);
		}
	}
}

/* What libphonenumber makes of the same text: a sample of script/test-identifiers. */
static void
test_phones(void)
{
	for (int i = 0; i < lengthof(phone_cases); i++)
	{
		TteIdentityRules rules = {.calling_code = tte_calling_code_of(phone_cases[i][0])};
		StringInfoData out;
		const char *reason;

		initStringInfo(&out);
		reason = tte_identifier_normalize(TTE_PHONE, phone_cases[i][1], strlen(phone_cases[i][1]), &rules, &out);
		check_text(phone_cases[i][0], phone_cases[i][1], reason != NULL ? reason : out.data, phone_cases[i][2]);
	}
}

/*
 * Phones whose reading has been wrong, or that have none.
 */
static void
test_hard_phones(void)
{
	static const struct
	{
		const char *place;
		const char *text;
		const char *expected;
	}			cases[] = {
		{"ar", "+54 11 15-2345-6789", "+5491123456789"},
		{"ar", "+54 (011) 15-2345-6789", "+5491123456789"},
		{"ar", "011 15-2345-6789", "+5491123456789"},
		{"ru", "+7 8 912 345 67 89", "+79123456789"},
		{"ru", "8 (912) 345-67-89", "+79123456789"},
		{"kz", "8 912 345 67 89", "+79123456789"},
		{"by", "+375 (80)25 983-16-89", "+375259831689"},
		{"hk", "001 852 5123 4567", "+85251234567"},
		{"hk", "001 86 131 2345 6789", "+8613123456789"},
		{"br", "00 15 55800123456", "+55800123456"},
		{"br", "0 15 11 96123-4567", "+5511961234567"},
		{"br", "(55) 97858-7491", "+5555978587491"},
		{"sg", "0016518001234567", "+6518001234567"},
		{"us", "011 44 20 7946 0123", "+442079460123"},
		{"au", "0011 44 20 7946 0123", "+442079460123"},
		{"au", "00 44 20 7946 0123", "+442079460123"},
		{"gg", "712345", "+441481712345"},
		{"uk", "020 7946 0123", "+442079460123"},
		{"gb", "+44 (0)20 7946 0123", "+442079460123"},
		{"fr", "+33 (0) 6 12 34 56 78", "+33612345678"},
		{"es", "+34 (0) 612 345 678", "+34612345678"},
		{"it", "391 234 5678", "+393912345678"},
		{"it", "39 391 234 5678", "+393912345678"},
		{"it", "+39 06 698 12345", "+390669812345"},
		{"id", "628123456789", "+628123456789"},
		{"at", "43664123456", "+43664123456"},
		{"de", "4915112345678", "+4915112345678"},
		{"de", "492112345", "!phone_ambiguous"},
		{"de", "0049 151 12345678", "+4915112345678"},
		{"de", "+0049 151 12345678", "+4915112345678"},
		{"rw", "+25006871503", "+25006871503"},
		{"za", "083 852", "+2783852"},
		{"jp", "090\xef\xbc\x88" "1234\xef\xbc\x89" "5678", "+819012345678"},
		{NULL, "wa.me/4915112345678", "+4915112345678"},
		{NULL, "https://api.whatsapp.com/send?phone=4915112345678", "+4915112345678"},
		{NULL, "p:+14155550100", "+14155550100"},
		{NULL, "\xe2\x80\xaa+49 151 12345678\xe2\x80\xac", "+4915112345678"},
		{NULL, "=+4915112345678", "+4915112345678"},
		{"de", "030 123 123 12 (B\xc3\xbcro)", "+493012312312"},
		{"de", "030123456/57", "+4930123456"},
		{"de", "033056/1234", "+49330561234"},
		{"de", "030/1234567/89", "+49301234567"},
		{"de", "030 1231231, 0171 2312312", "+49301231231"},
		{"de", "030 1231231 oder 0171 2312312", "+49301231231"},
		{"de", "030 1231231 Fax 030 1231232", "+49301231231"},
		{"de", "030 1231231 +49 171 2312312", "+49301231231"},
		{"de", "030 1231231\n0171 2312312", "+49301231231"},
		{"de", "030 1231231 0171 2312312", "!phone_length"},
		{"de", "030 1231231 ext 12", "+49301231231"},
		{"us", "1-800-FLOWERS", "!phone_syntax"},
		{"de", "0800 123 CALL", "!phone_syntax"},
		{"de", "030 1231231 privat", "!phone_syntax"},
		{"lu", "352628123456.0", "!phone_syntax"},
		{"lu", "+352628123456.00", "!phone_syntax"},
		{"de", "4.915112345678E+12", "!phone_syntax"},
		{"de", "49151E12", "!phone_syntax"},
		{"fr", "01.23.45.67.00", "+33123456700"},
		{"de", "0123456789", "!junk"},
		{"de", "1111111111", "!junk"},
		{"de", "0987654321", "!junk"},
		{"us", "555-555-5555", "!junk"},
		{"us", "+1 (999) 999-9999", "!junk"},
		{"us", "123-456-7890", "!junk"},
		{"fr", "+33 6 12 34 56 7", "!phone_length"},
		{"fr", "+33 6 12 34 56 78 9", "!phone_length"},
		{"fr", "+33 6 12 34 56 78 ext", "!phone_syntax"},
		{"us", "+1 415 155 0100 0", "!phone_length"},
		{NULL, "+33 1 (2", "!phone_length"},
		{NULL, "030 12312312", "!phone_no_country"},
		{"aq", "10 1234", "+672101234"}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		TtePhone	phone;
		const char *reason = tte_phone_read(cases[i].text, strlen(cases[i].text), cases[i].place, &phone);

		check_text(cases[i].place ? cases[i].place : "any", cases[i].text,
				   reason != NULL ? psprintf("!%s", reason) : phone.number, cases[i].expected);
	}
}

/* Lines of place, tab and text, as numbers or reasons: for script/test-identifiers. */
static void
read_phones(void)
{
	char		line[1024];

	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		TteIdentityRules rules = {.calling_code = NULL};
		char	   *phone = strchr(line, '\t');
		StringInfoData out;
		const char *reason;

		if (phone == NULL)
			break;
		*phone++ = '\0';
		phone[strcspn(phone, "\n")] = '\0';

		rules.calling_code = tte_calling_code_of(line);
		initStringInfo(&out);
		reason = tte_identifier_normalize(TTE_PHONE, phone, strlen(phone), &rules, &out);
		printf("%s%s\n", reason != NULL ? "!" : "", reason != NULL ? reason : out.data);
		arena_reset();
	}
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "phones") == 0)
	{
		read_phones();
		return 0;
	}
	test_identifiers();
	test_calling_codes();
	test_phones();
	test_hard_phones();
	return tap_end();
}
