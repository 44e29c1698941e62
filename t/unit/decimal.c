/*-------------------------------------------------------------------------
 *
 * decimal.c
 *	  Unit test of event/decimal.c: amounts.
 *
 *-------------------------------------------------------------------------
 */
#include "event/decimal.h"

#include "check.h"

static const char *
decimal(const char *given)
{
	TteDecimal	d;
	TteDecimalState state = tte_decimal_read(given, strlen(given), &d);

	switch (state)
	{
		case TTE_DECIMAL_SYNTAX:
			return "syntax";
		case TTE_DECIMAL_NOT_FINITE:
			return "not_finite";
		case TTE_DECIMAL_RANGE:
			return "range";
		default:
			return psprintf("%s%s", d.negative ? "-" : "", d.digits);
	}
}

static void
test_decimals(void)
{
	static const struct
	{
		const char *given;
		const char *expected;
	}			cases[] = {
		{"0", "0"}, {"-0", "0"}, {"-0.00", "0.00"}, {"+5", "5"}, {"-5", "-5"}, {"007", "7"},
		{"12000", "12000"}, {"49.90", "49.90"}, {"80.00", "80.00"}, {".5", "0.5"}, {"5.", "5"},
		{"1.5e3", "1500"}, {"1.25E1", "12.5"}, {"1e-2", "0.01"}, {"100e-2", "1.00"},
		{"0.30000000000000004", "0.30000000000000004"}, {"19.999999999", "19.999999999"},
		{"33.333333333333336", "33.333333333333336"}, {"100000000000000", "100000000000000"},
		{"999999999999999", "999999999999999"}, {"1000000000000000", "range"}, {"1e15", "range"},
		{"1e14", "100000000000000"}, {"1e131071", "range"}, {"1e999999999999999999999", "range"},
		{"1e-999999999999999999999", "range"}, {"0e999999999999999999", "0"},
		{"123456789012345678", "range"}, {"0.123456789012345678", "0.12345678901234568"},
		/* repr(float(x)) of Python, at most 18 digits behind the point */
		{"41.9327731092436975", "41.9327731092437"},
		{"33.333333333333333333", "33.333333333333336"},
		{"0.00333333333333333333", "0.003333333333333333"},
		{"66.6666666666666666666666666", "66.66666666666667"},
		{"1.00000000000000000001", "1"},
		{"99.99999999999999999", "100"},
		{"999999999999999.9", "999999999999999.9"},
		{"0.0333333333333333333333", "0.03333333333333333"},
		{"123456789012345.678901", "123456789012345.67"},
		{"0.000000000000000000999999999999999999", "0.000000000000000001"},
		{"14.2857142857142857142857142857142857142857142857142857142857142857142857142857", "14.285714285714286"},
		{"999999999999999.9999", "range"}, {"99999999999999.999", "99999999999999.999"}, {"0.0000000000000000005", "0.000000000000000001"},
		{"0.00000000000000000049", "range"}, {"-41.9327731092436975", "-41.9327731092437"},
		{"0.000000000000000001", "0.000000000000000001"}, {"0.0000000000000000001", "range"},
		{"49.9000000000000000000000000", "49.9"}, {"NaN", "not_finite"}, {"nan", "not_finite"},
		{"Infinity", "not_finite"}, {"-Infinity", "not_finite"}, {"-inf", "not_finite"},
		{"", "syntax"}, {"-", "syntax"}, {".", "syntax"}, {"e5", "syntax"}, {"1e", "syntax"},
		{"1,299.00", "syntax"}, {"12,50", "syntax"}, {"$5", "syntax"}, {"5 EUR", "syntax"},
		{"1.2.3", "syntax"}, {"0x10", "syntax"}, {"--5", "syntax"}, {"1 000", "syntax"}
	};
	TteSum		sum = {.scale = 0};
	TteDecimal	d;
	char		buffer[80];
	int			len;

	for (int i = 0; i < lengthof(cases); i++)
		check_text("amount", cases[i].given, decimal(cases[i].given), cases[i].expected);
	check_text("a hundred thousand digits", NULL, decimal(repeated("9", 131072, "")), "range");
	check_text("a hundred thousand zeros", NULL, decimal(repeated("0", 131072, "7.5")), "7.5");
	tte_decimal_read("49.90", 5, &d);
	tte_sum_add(&sum, &d, 1);
	tte_decimal_read("15.05", 5, &d);
	tte_sum_add(&sum, &d, 2);
	check_true("sum", tte_sum_result(&sum, &d) == TTE_DECIMAL_OK && strcmp(d.digits, "80.00") == 0);
	tte_decimal_read("0.1", 3, &d);
	memset(&sum, 0, sizeof(sum));
	for (int i = 0; i < 10; i++)
		tte_sum_add(&sum, &d, 1);
	tte_decimal_read("0.000000000000000001", 20, &d);
	tte_sum_add(&sum, &d, 999999999);
	check_true("exact sum", tte_sum_result(&sum, &d) == TTE_DECIMAL_OK &&
			   strcmp(d.digits, "1.000000000999999999") == 0);
	tte_decimal_read("999999999999999", 15, &d);
	for (int i = 0; i < 500; i++)
		tte_sum_add(&sum, &d, 999999999);
	check_true("sum out of range", tte_sum_result(&sum, &d) == TTE_DECIMAL_RANGE);
	memset(&sum, 0, sizeof(sum));
	check_true("empty sum", tte_sum_result(&sum, &d) == TTE_DECIMAL_OK && strcmp(d.digits, "0") == 0);
	len = tte_decimal_plain("1.4155550100E10", 15, buffer, sizeof(buffer));
	check_true("number without exponent", len == 11 && strcmp(buffer, "14155550100") == 0);
	len = tte_decimal_plain("7412345678901234567", 19, buffer, sizeof(buffer));
	check_true("long number", len == 19 && strcmp(buffer, "7412345678901234567") == 0);
	check_true("too long", tte_decimal_plain("1e100", 5, buffer, sizeof(buffer)) == -1);
	check_true("negative fraction", tte_decimal_plain("-0.05", 5, buffer, sizeof(buffer)) == 5 &&
			   strcmp(buffer, "-0.05") == 0);
}

int
main(int argc, char **argv)
{
	test_decimals();
	return tap_end();
}
