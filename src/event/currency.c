/*-------------------------------------------------------------------------
 *
 * currency.c
 *	  Currencies: those of ISO 4217, and which of them TikTok takes.
 *
 * The list is that of ISO 4217 with the amendments up to 2026, and with codes
 * that were withdrawn since 2023, because orders may still have them.
 *
 *-------------------------------------------------------------------------
 */
#include "event/catalog.h"

/* Every code is followed by a blank. */
#define CODE_LEN	4

static const char taken[] =
"AED ARS AUD BDT BHD BIF BOB BRL CAD CHF CLP CNY COP CRC CZK DKK DZD EGP EUR "
"GBP GTQ HKD HNL HUF IDR ILS INR ISK JPY KES KHR KRW KWD KZT MAD MOP MXN MYR "
"NGN NIO NOK NZD OMR PEN PHP PKR PLN PYG QAR RON RUB SAR SEK SGD THB TRY TWD "
"UAH USD VES VND ZAR ";

/* TikTok accepts these for apps only. */
static const char taken_of_apps[] = "BGN IQD JOD LBP TZS ";

/* By digits behind the point; without a smaller unit, as for gold, none. */
static const char *const by_exponent[] = {
	"BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XAG XAU XBA "
	"XBB XBC XBD XDR XOF XPD XPF XPT XSU XTS XUA XXX ",
	NULL,
	"AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV "
	"BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUC CUP CVE "
	"CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD "
	"HNL HRK HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR "
	"LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD "
	"NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR "
	"SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY "
	"TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG "
	"ZWL ",
	"BHD IQD JOD KWD LYD OMR TND ",
	"CLF UYW "
};

static bool
has_code(const char *codes, const char *code)
{
	for (const char *at = codes; *at != '\0'; at += CODE_LEN)
	{
		if (memcmp(at, code, CODE_LEN - 1) == 0)
			return true;
	}
	return false;
}

bool
tte_currency_known(TteEventSource source, const char *code)
{
	if (strlen(code) != CODE_LEN - 1)
		return false;
	return has_code(taken, code) || (source == TTE_APP && has_code(taken_of_apps, code));
}

int
tte_currency_exponent(const char *code)
{
	if (strlen(code) != CODE_LEN - 1)
		return -1;
	for (int i = 0; i < lengthof(by_exponent); i++)
	{
		if (by_exponent[i] != NULL && has_code(by_exponent[i], code))
			return i;
	}
	return -1;
}
