/*-------------------------------------------------------------------------
 *
 * address.c
 *	  Unit test of event/address.c: IP addresses.
 *
 *-------------------------------------------------------------------------
 */
#include "check_identifier.h"

static const IdentifierCase identifier_cases[] = {
	{TTE_IP, "203.0.113.24", NULL, NULL, "203.0.113.24"},
	{TTE_IP, " 8.8.8.8 ", NULL, NULL, "8.8.8.8"},
	{TTE_IP, "203.0.113.24/32", NULL, NULL, "203.0.113.24"},
	{TTE_IP, "203.0.113.24/24", NULL, NULL, "203.0.113.24"},
	{TTE_IP, "203.0.113.24/33", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "203.0.113.24/", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "999.1.1.1", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1.2.3", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1.2.3.4.5", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1.2.3.04", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1.2.3.4:80", NULL, NULL, "1.2.3.4"},
	{TTE_IP, "198.18.0.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "192.0.0.4", NULL, NULL, "!ip_private"},
	{TTE_IP, "93.184.216.34:5678", NULL, NULL, "93.184.216.34"},
	{TTE_IP, "1.2.3.4:65536", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1.2.3.4:", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1.2.3.4:x", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1.2.3.4, 5.6.7.8", NULL, NULL, "1.2.3.4"},
	{TTE_IP, "10.0.0.5, 5.6.7.8:443, 1.2.3.4", NULL, NULL, "5.6.7.8"},
	{TTE_IP, "unknown, 2001:db8::1, 1.2.3.4", NULL, NULL, "2001:db8::1"},
	{TTE_IP, "10.0.0.5, unknown", NULL, NULL, "!ip_private"},
	{TTE_IP, "unknown, 10.0.0.5", NULL, NULL, "!ip_private"},
	{TTE_IP, "unknown", NULL, NULL, "!ip_syntax"},
	{TTE_IP, ",", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "for=1.2.3.4", NULL, NULL, "1.2.3.4"},
	{TTE_IP, "For=\"[2001:db8:cafe::17]:4711\"", NULL, NULL, "2001:db8:cafe::17"},
	{TTE_IP, "for=192.0.2.60;proto=http; by=203.0.113.43", NULL, NULL, "192.0.2.60"},
	{TTE_IP, "proto=http;for=\"_a,b\", for=198.51.100.17;by=203.0.113.43", NULL, NULL, "198.51.100.17"},
	{TTE_IP, "by=203.0.113.43", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "\"1.2.3.4\"", NULL, NULL, "1.2.3.4"},
	{TTE_IP, "192.0.0.4", NULL, NULL, "!ip_private"},
	{TTE_IP, "192.0.1.4", NULL, NULL, "192.0.1.4"},
	{TTE_IP, "198.17.255.255", NULL, NULL, "198.17.255.255"},
	{TTE_IP, "198.18.0.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "198.19.255.255", NULL, NULL, "!ip_private"},
	{TTE_IP, "198.20.0.0", NULL, NULL, "198.20.0.0"},
	{TTE_IP, "2001::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "2001:1ff::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "2001:200::1", NULL, NULL, "2001:200::1"},
	{TTE_IP, "100::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "64:ff9b:1::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "localhost", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "0.0.0.0", NULL, NULL, "!ip_private"},
	{TTE_IP, "10.0.0.5", NULL, NULL, "!ip_private"},
	{TTE_IP, "100.64.0.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "100.127.255.255", NULL, NULL, "!ip_private"},
	{TTE_IP, "100.128.0.1", NULL, NULL, "100.128.0.1"},
	{TTE_IP, "127.0.0.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "169.254.1.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "172.15.0.1", NULL, NULL, "172.15.0.1"},
	{TTE_IP, "172.16.0.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "172.31.255.255", NULL, NULL, "!ip_private"},
	{TTE_IP, "172.32.0.1", NULL, NULL, "172.32.0.1"},
	{TTE_IP, "192.168.1.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "192.0.2.1", NULL, NULL, "192.0.2.1"},
	{TTE_IP, "198.51.100.77", NULL, NULL, "198.51.100.77"},
	{TTE_IP, "224.0.0.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "255.255.255.255", NULL, NULL, "!ip_private"},
	{TTE_IP, "2001:db8:1111:a:b0::200", NULL, NULL, "2001:db8:1111:a:b0::200"},
	{TTE_IP, "2001:0DB8:1111:000a:00b0:0000:0000:0200", NULL, NULL, "2001:0DB8:1111:000a:00b0:0000:0000:0200"},
	{TTE_IP, "2001:db8::1/64", NULL, NULL, "2001:db8::1"},
	{TTE_IP, "2001:db8::1/129", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "2606:4700::1111", NULL, NULL, "2606:4700::1111"},
	{TTE_IP, "1:2:3:4:5:6:7::", NULL, NULL, "1:2:3:4:5:6:7::"},
	{TTE_IP, "1:2:3:4:5:6:7:8", NULL, NULL, "1:2:3:4:5:6:7:8"},
	{TTE_IP, "1:2:3:4:5:6:7:8:9", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1:2:3:4:5:6:7", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1::2::3", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1:2:3:4:5:6:7:8::", NULL, NULL, "!ip_syntax"},
	{TTE_IP, ":::", NULL, NULL, "!ip_syntax"},
	{TTE_IP, ":1", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "1:", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "12345::1", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "::", NULL, NULL, "!ip_private"},
	{TTE_IP, "::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "::1.2.3.4", NULL, NULL, "!ip_private"},
	{TTE_IP, "fc00::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "fd12:3456::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "fe80::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "fe80::1%eth0", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "ff02::1", NULL, NULL, "!ip_private"},
	{TTE_IP, "::ffff:203.0.113.24", NULL, NULL, "203.0.113.24"},
	{TTE_IP, "::FFFF:cb00:7118", NULL, NULL, "203.0.113.24"},
	{TTE_IP, "::ffff:10.0.0.1", NULL, NULL, "!ip_private"},
	{TTE_IP, "::ffff:300.0.0.1", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "[2001:db8::1]", NULL, NULL, "2001:db8::1"},
	{TTE_IP, "[2001:db8::1]:443", NULL, NULL, "2001:db8::1"},
	{TTE_IP, "[2001:db8::1", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "[2001:db8::1]x", NULL, NULL, "!ip_syntax"},
	{TTE_IP, "2001:db8::g", NULL, NULL, "!ip_syntax"}
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
