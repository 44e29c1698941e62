/*-------------------------------------------------------------------------
 *
 * currency.c
 *	  Unit test of event/currency.c: currencies of TikTok and of ISO 4217.
 *
 *-------------------------------------------------------------------------
 */
#include "event/catalog.h"

#include "check.h"

static void
test_currencies(void)
{
	static const char *const known[] = {"USD", "EUR", "JPY", "AED", "ZAR", "HUF"};
	static const char *const unknown[] = {"BGN", "ZZZ", "usd", "US", "USDX", "840", "", "D A", "LKR"};
	int			currencies = 0;
	int			of_apps = 0;
	int			of_iso[5] = {0};

	for (int i = 0; i < lengthof(known); i++)
		check_true(known[i], tte_currency_known(TTE_WEB, known[i]));
	for (int i = 0; i < lengthof(unknown); i++)
		check_true("not a currency", !tte_currency_known(TTE_CRM, unknown[i]));
	for (int i = 0; i < 26 * 26 * 26; i++)
	{
		char		code[4] = {'A' + i / 676, 'A' + i / 26 % 26, 'A' + i % 26, '\0'};

		currencies += tte_currency_known(TTE_WEB, code);
		of_apps += tte_currency_known(TTE_APP, code);
		if (tte_currency_exponent(code) >= 0)
			of_iso[tte_currency_exponent(code)]++;
		else
			check_true("what TikTok takes is in ISO 4217", !tte_currency_known(TTE_APP, code));
	}
	check_true("62 currencies", currencies == 62);
	check_true("67 of apps", of_apps == 67);

	/*
	 * ISO 4217: 181 of the list of 2023, and XAD, XCG and ZWG; UYW and CLF
	 * have four digits
	 */
	check_true("184 of ISO 4217", of_iso[0] + of_iso[2] + of_iso[3] + of_iso[4] == 184);
	check_true("exponents", of_iso[1] == 0 && of_iso[3] == 7 && of_iso[4] == 2 &&
			   tte_currency_exponent("JPY") == 0 && tte_currency_exponent("KRW") == 0 &&
			   tte_currency_exponent("EUR") == 2 && tte_currency_exponent("HUF") == 2 &&
			   tte_currency_exponent("KWD") == 3 && tte_currency_exponent("TND") == 3 &&
			   tte_currency_exponent("XAF") == 0 && tte_currency_exponent("eur") == -1 && tte_currency_exponent("EU") == -1);
}

int
main(int argc, char **argv)
{
	test_currencies();
	return tap_end();
}
