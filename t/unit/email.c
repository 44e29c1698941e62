/*-------------------------------------------------------------------------
 *
 * email.c
 *	  Unit test of event/email.c.
 *
 *-------------------------------------------------------------------------
 */
#include "check_identifier.h"

static const IdentifierCase identifier_cases[] = {
	{TTE_EMAIL, "", NULL, NULL, "!"},
	{TTE_EMAIL, "   ", NULL, NULL, "!"},
	{TTE_EMAIL, NBSP ZWSP "\xe3\x80\x80" BOM, NULL, NULL, "!"},
	{TTE_EMAIL, "not-an-email", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "@b", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "@b.c", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@@b", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@b@c.d", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a b@c.d", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a" NBSP "b@c.d", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@b", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@.b", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@b.", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@b..c", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@-b.c", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@b-.c", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@1.2.3.4", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "a@[1.2.3.4]", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "Ann <a@b.c>", NULL, NULL, "a@b.c"},
	{TTE_EMAIL, "a@b.c,d@e.f", NULL, NULL, "a@b.c"},
	{TTE_EMAIL, "mailto:a@b.c", NULL, NULL, "a@b.c"},
	{TTE_EMAIL, "a@b.c", NULL, NULL, "a@b.c"},
	{TTE_EMAIL, "  John@Example.COM \t\n", NULL, NULL, "john@example.com"},
	{TTE_EMAIL, "first.last+tag@Mail.example.co.uk", NULL, NULL, "first.last+tag@mail.example.co.uk"},
	{TTE_EMAIL, "a..b.@docomo.example", NULL, NULL, "a..b.@docomo.example"},
	{TTE_EMAIL, "o'neil@example.com", NULL, NULL, "o'neil@example.com"},
	{TTE_EMAIL, "\xc4\xb0X\xc3\x9f\xc3\x89@Example.com", NULL, NULL, "i\xcc\x87x\xc3\x9f\xc3\xa9@example.com"},
	{TTE_EMAIL, "e\xcc\x81@Example.com", NULL, NULL, "e\xcc\x81@example.com"},
	{TTE_EMAIL, NBSP "a@b.c" ZWSP, NULL, NULL, "a@b.c"},
	{TTE_EMAIL, BOM "a@b.c\xe2\x80\xaf", NULL, NULL, "a@b.c"},
	/* meant so: NOLINTNEXTLINE(misc-misleading-bidirectional) */
	{TTE_EMAIL, RLO "a@b.c", NULL, NULL, "a@b.c"},
	{TTE_EMAIL, "a" ZWSP "@b.c", NULL, NULL, "a@b.c"},
	{TTE_EMAIL, "a\x01@b.c", NULL, NULL, "!control"},
	{TTE_EMAIL, "a\n@b.c", NULL, NULL, "!control"},
	{TTE_EMAIL, "a\xc2\xad@b.c", NULL, NULL, "a@b.c"},
	{TTE_EMAIL, "a\xff@b.c", NULL, NULL, "!encoding"},
	{TTE_EMAIL, "\xff\xa0", NULL, NULL, "!encoding"},
	{TTE_EMAIL, "a@XN--Bcher-KVA.example", NULL, NULL, "a@xn--bcher-kva.example"},
	{TTE_EMAIL, "A@B\xc3\x9c" "CHER.example", NULL, NULL, "a@b\xc3\xbc" "cher.example"},
	{TTE_EMAIL, HEX64, NULL, NULL, HEX64_LOWER},
	{TTE_EMAIL, " " HEX64 " ", NULL, NULL, HEX64_LOWER},
	{TTE_EMAIL, "g48a771458438fc2ec420560d769fb9b9b86851ee338ec56517baabd79d3bb4f", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "d41d8cd98f00b204e9800998ecf8427e", NULL, NULL, "!not_sha256"},
	{TTE_EMAIL, "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709", NULL, NULL, "!not_sha256"},
	{TTE_EMAIL, "E3B0C44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", NULL, NULL, "!junk"},
	{TTE_EMAIL, "null", NULL, NULL, "!junk"},
	{TTE_EMAIL, "Undefined", NULL, NULL, "!junk"},
	{TTE_EMAIL, "N/A", NULL, NULL, "!junk"},
	{TTE_EMAIL, "na", NULL, NULL, "!junk"},
	{TTE_EMAIL, "\xc3\x80\xc3\x89\xc3\x8e@\xc3\x89XAMPLE.COM", NULL, NULL, "\xc3\xa0\xc3\xa9\xc3\xae@\xc3\xa9xample.com"},
	{TTE_EMAIL, "\xc4\xb0STANBUL@example.com", NULL, NULL, "i\xcc\x87stanbul@example.com"},
	{TTE_EMAIL, "'first.last@m\xc3\xbcller.de", NULL, NULL, "first.last@m\xc3\xbcller.de"},
	{TTE_EMAIL, "email=first.last@m\xc3\xbcller.de", NULL, NULL, "first.last@m\xc3\xbcller.de"},
	{TTE_EMAIL, "'ana@example.com", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "=ana@example.com", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "Ana Lopez <ana@example.com>", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "mailto:ana@example.com", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "ana@example.com.", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "ana@example.com,", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "ana@example.com;", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "ana@example.com\xe2\x80\x8e", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "\"Lopez, Ana\" <ana@example.com>", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "<ana@example.com>", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "MAILTO:Ana@example.com", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "e-mail: ana@example.com", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "ana@example.com bob@example.com", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "ana@example.com; bob@example.com", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "n/a; bob@example.com", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "anna b@example.com", NULL, NULL, "!email_syntax"},
	{TTE_EMAIL, "ana@example.com!", NULL, NULL, "ana@example.com"},
	{TTE_EMAIL, "bounce+ana=example.com@lists.example", NULL, NULL, "bounce+ana=example.com@lists.example"},
	{TTE_EMAIL, "o'brien@example.com", NULL, NULL, "o'brien@example.com"},
	{TTE_EMAIL, "\xce\x9f\xce\x94\xce\xa5\xce\xa3\xce\xa3\xce\x95\xce\xa5\xce\xa3@example.gr", NULL, NULL, "\xce\xbf\xce\xb4\xcf\x85\xcf\x83\xcf\x83\xce\xb5\xcf\x85\xcf\x82@example.gr"},
	{TTE_EMAIL, "e\xcc\x81@example.com", NULL, NULL, "e\xcc\x81@example.com"}
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
