/*-------------------------------------------------------------------------
 *
 * url.c
 *	  Unit test of event/url.c: addresses of pages.
 *
 *-------------------------------------------------------------------------
 */
#include "event/url.h"
#include "event/utf8.h"

#include "check.h"

static const struct
{
	const char *given;
	const char *expected;		/* NULL: unchanged */
}			url_cases[] = {
	{"https://shop.example.com/a?order=SO-1&ttclid=E.C.P.x", NULL},
	{"https://shop.example.com/", NULL},
	{"https://shop.example.com", NULL},
	{"https://x.example/?email=a%40b.c&order=1", "https://x.example/?email=&order=1"},
	{"https://x.example/?EMail=secret", "https://x.example/?EMail="},
	{"https://x.example/?e-mail=secret", "https://x.example/?e-mail="},
	{"https://x.example/?billing%5Bemail%5D=x&y=1", "https://x.example/?billing%5Bemail%5D=&y=1"},
	{"https://x.example/?a=1&first_name=Ann&utm_source=tt", "https://x.example/?a=1&first_name=&utm_source=tt"},
	{"https://x.example/?phone=%2B49171&tel=1&mobile=2", "https://x.example/?phone=&tel=&mobile="},
	{"https://x.example/?name=Ann&product_name=Shoe", "https://x.example/?name=&product_name=Shoe"},
	{"https://x.example/?access_token=t&address=s", "https://x.example/?access_token=&address="},
	{"https://x.example/?password=", NULL},
	{"https://x.example/?q=ann@example.com", "https://x.example/?q="},
	{"https://x.example/?q=ann%2540example.com", "https://x.example/?q="},
	{"https://x.example/u/ann%2540example.com/x", "https://x.example/u//x"},
	{"https://x.example/u/ann%252540example.com/x", "https://x.example/u//x"},
	{"https://x.example/u/ann%2525252540example.com/x", "https://x.example/u//x"},
	{"https://x.example/u/ann%252525252540example.com/x", NULL},
	{"https://shop.example.com/?redirect_to=https%253A%252F%252Fshop.example.com%252F%253Femail%253Dana%252540example.com",
	"https://shop.example.com/?redirect_to="},
	{"https://x.example/?back=%2Forder%3Fkey%3Dwc_order_AbCdE&a=1", "https://x.example/?back=&a=1"},
	{"https://x.example/?back=%2Forder%3Fkey%3D%26a%3D1", NULL},
	{"https://x.example/?customer%255Bemail%255D=x", "https://x.example/?customer%255Bemail%255D="},
	{"https://x.example/?a=1&amp;name=Ann&amp;b=2", "https://x.example/?a=1&amp;name=&amp;b=2"},

	/* what opens an order or a payment */
	{"https://shop.example.com/checkout/order-received/897/?key=wc_order_AbCdEf12345", "https://shop.example.com/checkout/order-received/897/?key="},
	{"https://x.myshopify.com/1/orders/c39a/authenticate?key=5e78c8", "https://x.myshopify.com/1/orders/c39a/authenticate?key="},
	{"https://x.example/?order=wc_order_AbCdE&utm_source=tt", "https://x.example/?order=&utm_source=tt"},
	{"https://x.example/?order-received=9&order_key=abc", "https://x.example/?order-received=9&order_key="},
	{"https://x.example/?id_order=9&secure_key=abc", "https://x.example/?id_order=9&secure_key="},
	{"https://x.example/?session_id=cs_live_a1b2", "https://x.example/?session_id="},
	{"https://x.example/?s=cs_test_a1b2", "https://x.example/?s="},
	{"https://x.example/?payment_intent=pi_1&payment_intent_client_secret=pi_1_secret_2&redirect_status=succeeded",
	"https://x.example/?payment_intent=&payment_intent_client_secret=&redirect_status=succeeded"},
	{"https://x.example/?paymentId=PAY-1&token=EC-1&PayerID=ABC", "https://x.example/?paymentId=&token=&PayerID="},
	{"https://x.example/?tx=7&st=Completed&amt=5&sig=abc", "https://x.example/?tx=&st=Completed&amt=5&sig="},
	{"https://x.example/?redirectResult=abc&sessionResult=d&MD=e&PaRes=f", "https://x.example/?redirectResult=&sessionResult=&MD=&PaRes="},
	{"https://x.example/?razorpay_payment_id=pay_1&razorpay_signature=abc", "https://x.example/?razorpay_payment_id=&razorpay_signature="},
	{"https://x.example/?cko-session-id=sid_1&amazonCheckoutSessionId=2", "https://x.example/?cko-session-id=&amazonCheckoutSessionId="},
	{"https://x.example/?crypt=abc&hash=d&_wpnonce=e&deepLinkCode=f", "https://x.example/?crypt=&hash=&_wpnonce=&deepLinkCode="},
	{"https://x.example/cart;jsessionid=AB12/pay?a=1", "https://x.example/cart;jsessionid=/pay?a=1"},
	{"https://x.example/pay/wc_order_AbCdE/", "https://x.example/pay//"},
	{"https://x.example/?utm_source=tiktok&utm_medium=paid&utm_campaign=key&utm_id=7&gclid=a&fbclid=b&q=keyword&keyword=shoe&status=ok", NULL},
	{"https://x.example/?ann@example.com", "https://x.example/?"},
	{"https://x.example/#/p?email=x", "https://x.example/#/p?email="},
	{"https://x.example/#access_token=abc", "https://x.example/#access_token="},
	{"https://ann:secret@x.example/p", "https://x.example/p"},
	{"https://x.example/u/ann@example.com/orders", "https://x.example/u//orders"},
	{"https://x.example/u/ann%40example.com", "https://x.example/u/"},
	{"https://x.example/@ann/video/7", NULL},
	{"https://x.example/?the_last_of_all_the_fields_of_this_form_email=x", "https://x.example/?the_last_of_all_the_fields_of_this_form_email="},
	{"https://x.example/?a&b&&c=", NULL}
};

static void
test_urls(void)
{
	static const char *const full[] = {
		"https://x.example", "http://localhost:8080/", "android-app://com.example.app",
		"https://x.example/caf\xc3\xa9?q=%20", "https://x.example/a b", "https://x.example?q=a b#c d"
	};
	static const char *const not_full[] = {
		"", "/checkout", "x.example/p", "//x.example", "https:/x.example", "https://",
		"https:///p", "https://x example/a", "https:// x.example/", "https://x.example/\n", "://x", "1a b://x"
	};
	static const struct
	{
		const char *url;
		const char *expected;
	}			parameters[] = {
		{"https://x.example/?ttclid=abc", "abc"}, {"https://x.example/?a=1&ttclid=a%2Bb+c#x", "a+b c"},
		{"https://x.example/?ttclid=", NULL}, {"https://x.example/?xttclid=1", NULL},
		{"https://x.example/#?ttclid=1", "1"}, {"https://x.example/#/landing?ttclid=1", "1"},
		{"https://x.example/#ttclid=1", "1"}, {"https://x.example/#/p?a=1&ttclid=2", "2"},
		{"https://x.example/?ttclid=1#ttclid=2", "1"}, {"https://x.example/?ttclid=#ttclid=2", "2"},
		{"https://x.example/?a=1&amp;ttclid=2&amp;b=3", "2"}, {"https://x.example/?a=1&lt;ttclid=2", NULL},
		{"https://x.example/ttclid=1?a=1", NULL}, {"https://x.example/ttclid=1", NULL},
		{"https://x.example/?ttclid=%zz%4", "%zz%4"}, {"https://x.example/?ttclid", NULL}
	};
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < lengthof(url_cases); i++)
	{
		bool		removed;

		resetStringInfo(&out);
		removed = tte_url_scrub(url_cases[i].given, strlen(url_cases[i].given), &out);
		check_text("scrubbed", url_cases[i].given, out.data,
				   url_cases[i].expected ? url_cases[i].expected : "");
		check_true("told", removed == (url_cases[i].expected != NULL));
	}
	for (int i = 0; i < lengthof(full); i++)
		check_true("full address", tte_url_full(full[i], strlen(full[i])));
	for (int i = 0; i < lengthof(not_full); i++)
		check_true("no full address", !tte_url_full(not_full[i], strlen(not_full[i])));
	for (int i = 0; i < lengthof(parameters); i++)
	{
		bool		found;

		resetStringInfo(&out);
		found = tte_url_parameter(parameters[i].url, strlen(parameters[i].url), "ttclid", &out);
		check_text("parameter", parameters[i].url, found ? out.data : NULL, parameters[i].expected);
	}
	check_true("macros", tte_is_macro("{{ttclid}}", 10) && tte_is_macro("E.{{ x }}", 9) && tte_is_macro("__CLICKID__", 11));
	check_true("no macros", !tte_is_macro("E.C.P.abc", 9) && !tte_is_macro("{ttclid", 7) && !tte_is_macro("}}{{", 4) &&
			   !tte_is_macro("____", 4) && !tte_is_macro("__a", 3) && !tte_is_macro("", 0));
	check_true("e-mail in text", tte_text_has_email("write ann.b@example.com now", 27) &&
			   tte_text_has_email("a@b.co", 6));
	check_true("no e-mail in text", !tte_text_has_email("5 @ 3.50", 8) && !tte_text_has_email("@ann", 4) &&
			   !tte_text_has_email("a@b", 3) && !tte_text_has_email("a@b.c", 5) &&
			   !tte_text_has_email("part7@3.50", 10) && !tte_text_has_email("a@.co", 5) && !tte_text_has_email("", 0));
}

/* Every name of url.c: by itself, as the end of another, before another. */
static void
test_private_names(void)
{
	static const char *const names[] = {
		"address", "address1", "address2", "auth", "authcode", "authorization", "birthdate", "birthday",
		"cardnumber", "cell", "cellphone", "checksum", "collectionid", "creq", "cres", "crypt", "cvc",
		"cvv", "dateofbirth", "deeplinkcode", "digest", "dob", "encresp", "familyname", "firstname",
		"fname", "fullname", "givenname", "iban", "jwt", "klarnaorderid", "lastname", "lname", "mac",
		"md", "merchantorderid", "mihpayid", "msisdn", "name", "oscsid", "otp", "pareq", "pares", "pass",
		"passcode", "passwd", "payload", "preferenceid", "protectcode", "pspreference", "ptxn", "pwd",
		"redirectresult", "session", "sessionresult", "sid", "sig", "sign", "signaturevalue", "ssn",
		"street", "streetaddress", "surname", "tel", "tradeno", "tx", "username", "xtcsid", "zenid"
	};
	static const char *const endings[] = {
		"accesscode", "checkoutid", "email", "emailaddress", "firstname", "hash", "hmac", "key",
		"lastname", "mail", "mobile", "mobilenumber", "nonce", "password", "payerid", "paymentid",
		"paymentintent", "paymentlinkid", "phone", "phonenumber", "secret", "sessid", "sessionid",
		"setupintent", "signature", "telephone", "token", "transactionid", "trxid", "txnid", "txnref"
	};
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < lengthof(names) + lengthof(endings); i++)
	{
		bool		ending = i >= lengthof(names);
		const char *name = ending ? endings[i - lengthof(names)] : names[i];
		char	   *url = psprintf("https://x.example/?%s=1", name);

		check_text("private", url, tte_url_scrub(url, strlen(url), &out) ? "removed" : "kept", "removed");
		url = psprintf("https://x.example/?x_%s=1", name);
		if (ending)
			check_text("private ending", url, tte_url_scrub(url, strlen(url), &out) ? "removed" : "kept", "removed");
		url = psprintf("https://x.example/?%s0=1", name);
		check_text("another name", url, tte_url_scrub(url, strlen(url), &out) ? "removed" : "kept", "kept");
	}
}

int
main(int argc, char **argv)
{
	test_urls();
	test_private_names();
	return tap_end();
}
