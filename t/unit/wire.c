/*-------------------------------------------------------------------------
 *
 * wire.c
 *	  Unit test of event/wire.c: events as TikTok documents them.
 *
 *-------------------------------------------------------------------------
 */
#include "check_event.h"

#define HEX64_LOWER "848a771458438fc2ec420560d769fb9b9b86851ee338ec56517baabd79d3bb4f"
#define UA		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
#define IPHONE	"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
#define ANDROID	"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36"

/* One event of TikTok's contract: what goes in, and what must be posted. */
typedef struct Example
{
	const char *what;
	TteEventSource source;
	const char *calling_code;
	TteTriState limited_data_use;
	const char *event;
	const char *id;
	int64		usec;
	const char *fields;
	const char *expected;
} Example;

static const Example examples[] = {
	{"web purchase of several things", TTE_WEB, "1", TTE_UNSET, "Purchase", "purchase-SO-10001",
		INT64CONST(1795169730000000),
		"{\"user\":{\"email\":\"  Ana.Example@Example.COM \",\"phone\":\"(202) 555-0143\","
		"\"external_id\":\"cust_000123\",\"ttclid\":\"E.C.P.example-click-id-0001\","
		"\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\",\"ip\":\"203.0.113.24\",\"user_agent\":\"" UA "\",\"locale\":\"en-US\"},"
		"\"page\":{\"url\":\"https://shop.example.com/checkout/thank-you?order=SO-10001&ttclid=E.C.P.example-click-id-0001\","
		"\"referrer\":\"https://shop.example.com/checkout\"},"
		"\"properties\":{\"order_id\":\"SO-10001\",\"currency\":\"usd\",\"contents\":["
		"{\"content_id\":1001,\"content_name\":\"Trail shoe\",\"content_category\":\"Shoes\",\"brand\":\"Example Brand\",\"price\":\"49.90\",\"quantity\":1},"
		"{\"content_id\":\"SOCK-2\",\"content_name\":\"Wool sock\",\"content_category\":\"Socks\",\"brand\":\"Example Brand\",\"price\":\"15.05\",\"quantity\":2}]}}",
		"{\"event\":\"Purchase\",\"event_time\":1795169730,\"event_id\":\"purchase-SO-10001\",\"user\":{"
		"\"email\":\"bb5aaf880f360f2dbcae12dcd39c46cbdd0a2ea0009aea4e172cdfe8f0618edc\","
		"\"phone\":\"54af34308301e43f00650baaeb6cf4925b942201d74191b26d48292cfec907fd\","
		"\"external_id\":\"6bd1c3500bfd5dda48977b92ca720cfc905ff8171de18e578abbe8638fd17f30\","
		"\"ttclid\":\"E.C.P.example-click-id-0001\",\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\",\"ip\":\"203.0.113.24\","
		"\"user_agent\":\"" UA "\",\"locale\":\"en-US\"},"
		"\"page\":{\"url\":\"https://shop.example.com/checkout/thank-you?order=SO-10001&ttclid=E.C.P.example-click-id-0001\","
		"\"referrer\":\"https://shop.example.com/checkout\"},"
		"\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"1001\",\"SOCK-2\"],\"contents\":["
		"{\"content_id\":\"1001\",\"content_name\":\"Trail shoe\",\"content_category\":\"Shoes\",\"brand\":\"Example Brand\",\"price\":49.9,\"quantity\":1},"
		"{\"content_id\":\"SOCK-2\",\"content_name\":\"Wool sock\",\"content_category\":\"Socks\",\"brand\":\"Example Brand\",\"price\":15.05,\"quantity\":2}],"
	"\"num_items\":3,\"currency\":\"USD\",\"value\":80.0,\"order_id\":\"SO-10001\"}}"},

	{"web lead under its old name, blank fields", TTE_WEB, NULL, TTE_UNSET, "SubmitForm", "lead-77",
		INT64CONST(1795172400000000),
		"{\"user\":{\"email\":\"lead77@example.org\",\"phone\":\"\",\"external_id\":null,\"ttclid\":null,"
		"\"ttp\":\"01JEXAMPLETTPCOOKIE00000002\",\"ip\":\"2001:db8:1111:a:b0::200\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://www.example.com/contact?utm_source=tiktok\",\"referrer\":null},"
		"\"properties\":{\"description\":\"Contact form\"}}",
		"{\"event\":\"Lead\",\"event_time\":1795172400,\"event_id\":\"lead-77\",\"user\":{"
		"\"email\":\"d4b6bbfcc6862d5c0a8c1ea0482230e74b8c18ab733c8b87c072ac5ce3e439cc\","
		"\"ttp\":\"01JEXAMPLETTPCOOKIE00000002\",\"ip\":\"2001:db8:1111:a:b0::200\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://www.example.com/contact?utm_source=tiktok\"},"
	"\"properties\":{\"description\":\"Contact form\"}}"},

	{"web cart with a product group", TTE_WEB, NULL, TTE_UNSET, "AddToCart", "atc-9f2c",
		INT64CONST(1795172712750000),
		"{\"user\":{\"external_id\":\"cust_000124\",\"ttp\":\"01JEXAMPLETTPCOOKIE00000002\",\"ip\":\"203.0.113.25\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/p/tent-family\"},"
		"\"properties\":{\"content_type\":\"product_group\",\"currency\":\"EUR\",\"contents\":["
		"{\"content_id\":\"TENT-FAMILY\",\"content_name\":\"Family tent\",\"price\":\"199.00\",\"quantity\":1}]}}",
		"{\"event\":\"AddToCart\",\"event_time\":1795172712,\"event_id\":\"atc-9f2c\",\"user\":{"
		"\"external_id\":\"0cc375ecca840fd93dcc95dfcce943b4cd2c5f9c4a051004358e1e6ff50b007d\","
		"\"ttp\":\"01JEXAMPLETTPCOOKIE00000002\",\"ip\":\"203.0.113.25\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/p/tent-family\"},"
		"\"properties\":{\"content_type\":\"product_group\",\"content_ids\":[\"TENT-FAMILY\"],\"contents\":["
		"{\"content_id\":\"TENT-FAMILY\",\"content_name\":\"Family tent\",\"price\":199.0,\"quantity\":1}],"
	"\"num_items\":1,\"currency\":\"EUR\",\"value\":199.0}}"},

	{"web purchase, limited data use", TTE_WEB, NULL, TTE_YES, "CompletePayment", "purchase-SO-10002",
		INT64CONST(1795176000000000),
		"{\"user\":{\"email\":\"buyer2@example.com\",\"ip\":\"198.51.100.77\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/checkout/thank-you?order=SO-10002\"},"
		"\"properties\":{\"order_id\":\"SO-10002\",\"currency\":\"JPY\",\"value\":\"12000\",\"description\":null}}",
		"{\"event\":\"Purchase\",\"event_time\":1795176000,\"event_id\":\"purchase-SO-10002\",\"limited_data_use\":true,\"user\":{"
		"\"email\":\"f04ab5451e7cac07a626cd8f65364cd1920ebeb685cc56a5ebddc90aae40b4b8\","
		"\"ip\":\"198.51.100.77\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/checkout/thank-you?order=SO-10002\"},"
	"\"properties\":{\"currency\":\"JPY\",\"value\":12000,\"order_id\":\"SO-10002\"}}"},

	{"web test event", TTE_WEB, NULL, TTE_UNSET, "InitiateCheckout", "checkout-551",
		INT64CONST(1795177800000000),
		"{\"user\":{\"email\":\"qa@example.com\",\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\",\"ip\":\"203.0.113.30\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://staging.example.com/checkout\"},"
		"\"properties\":{\"currency\":\"GBP\",\"value\":\"25.50\"}}",
		"{\"event\":\"InitiateCheckout\",\"event_time\":1795177800,\"event_id\":\"checkout-551\",\"user\":{"
		"\"email\":\"70a842432bd857c020c4ee849fe8921160e218e274ce0225b96d1ea9c939deee\","
		"\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\",\"ip\":\"203.0.113.30\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://staging.example.com/checkout\"},"
	"\"properties\":{\"currency\":\"GBP\",\"value\":25.5}}"},

	{"web registration, all match keys", TTE_WEB, "44", TTE_UNSET, "CompleteRegistration", "reg-user_123",
		INT64CONST(1795179600000000),
		"{\"user\":{\"email\":[\" ALICE_abc@gmail.com \",\"alice.second@example.com\"],"
		"\"phone\":[\"(+1)2133734253\",\"+44 7700 900123\"],\"external_id\":\"user_123\","
		"\"first_name\":\" Jane \",\"last_name\":\"O'Doe\",\"city\":\"San Jose\",\"state\":\"CA\",\"country\":\"US\","
		"\"zip_code\":\"95110-2345\",\"ip\":\"203.0.113.31\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://www.example.com/welcome\"}}",
		"{\"event\":\"CompleteRegistration\",\"event_time\":1795179600,\"event_id\":\"reg-user_123\",\"user\":{"
		"\"email\":[\"848a771458438fc2ec420560d769fb9b9b86851ee338ec56517baabd79d3bb4f\",\"f4394151aafc5d4b3cba6d029e7365e959958ef8f906457da6d8079f10cc4d31\"],"
		"\"phone\":[\"9f7ec22d72092cd3c0b58726ed9c2d91b92e51a3f29837508fb2948bb22dd2fd\",\"a8acc3a90a7b4e4dc65e93db9240ed26523050ef754d63b75b5161de76781436\"],"
		"\"external_id\":\"80fba0ae1c48e3978e43e4efc365e14e12ea0c830ba8ba5b9a2dafc7e3f2ab8b\","
		"\"first_name\":\"81f8f6dde88365f3928796ec7aa53f72820b06db8664f5fe76a7eb13e24546a2\","
		"\"last_name\":\"fff1833cf87ec12a259fbf6b5bee308dc19f4a8cd0407451f402f973a5ec8059\","
		"\"city\":\"sanjose\",\"state\":\"ca\",\"country\":\"us\","
		"\"zip_code\":\"383f7fffd99f3b1c3066086bcf991eae7ad543589d12bd792ecb6dc8b5acebc1\","
		"\"ip\":\"203.0.113.31\",\"user_agent\":\"" UA "\"},"
	"\"page\":{\"url\":\"https://www.example.com/welcome\"}}"},

	{"web custom event", TTE_WEB, NULL, TTE_UNSET, "Quote_Requested", "quote-3001",
		INT64CONST(1795181400000000),
		"{\"user\":{\"external_id\":\"cust_000125\",\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\",\"ip\":\"203.0.113.32\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://www.example.com/quote\"},"
		"\"properties\":{\"query\":\"garden shed 3x4\",\"description\":\"Quote form, step 2\",\"customer_type\":\"new\"}}",
		"{\"event\":\"Quote_Requested\",\"event_time\":1795181400,\"event_id\":\"quote-3001\",\"user\":{"
		"\"external_id\":\"abc43a157d3f4032cdf57d60c6c019b108cd666cf1f600c9498ebb15d5fc0b28\","
		"\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\",\"ip\":\"203.0.113.32\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://www.example.com/quote\"},"
	"\"properties\":{\"search_string\":\"garden shed 3x4\",\"description\":\"Quote form, step 2\",\"customer_type\":\"new\"}}"},

	{"app install, plain idfa", TTE_APP, NULL, TTE_UNSET, "InstallApp", "install-ios-8842",
		INT64CONST(1795183200000000),
		"{\"user\":{\"idfa\":\"ea7583cd-a667-48bc-b806-42ecb2b48606\",\"idfv\":\"8C1A0F4E-0000-4000-8000-000000000001\","
		"\"att_status\":\"AUTHORIZED\",\"ip\":\"203.0.113.40\",\"user_agent\":\"" IPHONE "\",\"locale\":\"en-US\"},"
		"\"app\":{\"app_id\":\"343200656\",\"app_name\":\"Example App\",\"app_version\":\"3.2.1\"},"
		"\"ad\":{\"callback\":\"example-callback-token\",\"is_retargeting\":false,\"attributed\":true,\"attribution_provider\":\"ExampleMMP\"}}",
		"{\"event\":\"InstallApp\",\"event_time\":1795183200,\"event_id\":\"install-ios-8842\",\"user\":{"
		"\"idfa\":\"EA7583CD-A667-48BC-B806-42ECB2B48606\",\"idfv\":\"8C1A0F4E-0000-4000-8000-000000000001\","
		"\"att_status\":\"AUTHORIZED\",\"ip\":\"203.0.113.40\",\"user_agent\":\"" IPHONE "\",\"locale\":\"en-US\"},"
		"\"app\":{\"app_id\":\"343200656\",\"app_name\":\"Example App\",\"app_version\":\"3.2.1\"},"
	"\"ad\":{\"callback\":\"example-callback-token\",\"is_retargeting\":false,\"attributed\":true,\"attribution_provider\":\"ExampleMMP\"}}"},

	{"app purchase, hashed gaid", TTE_APP, NULL, TTE_UNSET, "Purchase", "app-order-5521",
		INT64CONST(1795184400000000),
		"{\"user\":{\"email\":\"player@example.net\",\"gaid\":\"0EBAD966881e1eebffe69b3abf624631cf83ec9bf8cb3ce134c7c75c6d8ee7fc\","
		"\"ip\":\"203.0.113.41\",\"user_agent\":\"" ANDROID "\",\"external_id\":\"player_9\"},"
		"\"app\":{\"app_id\":\"com.example.game\",\"app_version\":\"1.0.9\"},"
		"\"properties\":{\"currency\":\"USD\",\"value\":\"4.99\",\"order_id\":\"app-order-5521\","
		"\"contents\":[{\"content_id\":\"gems-100\",\"price\":\"4.99\",\"quantity\":1}]}}",
		"{\"event\":\"Purchase\",\"event_time\":1795184400,\"event_id\":\"app-order-5521\",\"user\":{"
		"\"email\":\"e76439805b9862b1768fb1ff1f762c89649774f30390772cd20a4f628e323250\","
		"\"gaid\":\"0ebad966881e1eebffe69b3abf624631cf83ec9bf8cb3ce134c7c75c6d8ee7fc\","
		"\"ip\":\"203.0.113.41\",\"user_agent\":\"" ANDROID "\"},"
		"\"app\":{\"app_id\":\"com.example.game\",\"app_version\":\"1.0.9\"},"
		"\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"gems-100\"],"
		"\"contents\":[{\"content_id\":\"gems-100\",\"price\":4.99,\"quantity\":1}],"
	"\"num_items\":1,\"currency\":\"USD\",\"value\":4.99,\"order_id\":\"app-order-5521\"}}"},

	{"offline purchase", TTE_OFFLINE, NULL, TTE_UNSET, "Purchase", "pos-0042-000981",
		INT64CONST(1794671100000000),
		"{\"user\":{\"email\":[\"shopper@example.com\"],\"phone\":[\"+49 30 23125123\"],\"external_id\":\"loyalty_555\","
		"\"ip\":\"10.0.0.5\",\"user_agent\":null},"
		"\"properties\":{\"order_id\":\"POS-0042-000981\",\"shop_id\":\"0042\",\"currency\":\"EUR\","
		"\"contents\":[{\"content_id\":\"COFFEE-1KG\",\"content_name\":\"Coffee 1 kg\",\"price\":\"18.50\",\"quantity\":2}],"
		"\"delivery_category\":\"in_store\"}}",
		"{\"event\":\"Purchase\",\"event_time\":1794671100,\"event_id\":\"pos-0042-000981\",\"user\":{"
		"\"email\":\"a85e9ca18f34935ab9b0381b25bfad2455444112b0149270fd88e3da172fe196\","
		"\"phone\":\"77f9e3b8838cf96ba4919fd5974918e1a774c9e93d521c0f691654bc3cb5380a\"},"
		"\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"COFFEE-1KG\"],"
		"\"contents\":[{\"content_id\":\"COFFEE-1KG\",\"content_name\":\"Coffee 1 kg\",\"price\":18.5,\"quantity\":2}],"
		"\"num_items\":2,\"currency\":\"EUR\",\"value\":37.0,\"order_id\":\"POS-0042-000981\",\"shop_id\":\"0042\","
	"\"delivery_category\":\"in_store\"}}"},

	{"crm change of a lead", TTE_CRM, NULL, TTE_UNSET, "Qualified_Lead", "crm-lead-7412345678901234567-qualified",
		INT64CONST(1795186800000000),
		"{\"user\":{\"email\":\"Prospect@Example.org\",\"phone\":\"+1 202 555 0177\",\"external_id\":\"crm_contact_31\"},"
		"\"lead\":{\"lead_id\":7412345678901234567,\"lead_event_source\":\"ExampleCRM\"}}",
		"{\"event\":\"Qualified_Lead\",\"event_time\":1795186800,\"event_id\":\"crm-lead-7412345678901234567-qualified\",\"user\":{"
		"\"email\":\"8cf8ff17bafdf5b06066310ad94c327eb36aa5b9f1070b245f9fa2939c91cb55\","
		"\"phone\":\"f94135cccdee96e4193defb831b5b88c22830d0c1d81e65a5895e15ebba61f4c\","
		"\"external_id\":\"549991450b61aaee33f4a1b70123909ea50bfee4de9c844f6c5ea6735dd19c31\"},"
	"\"lead\":{\"lead_id\":\"7412345678901234567\",\"lead_event_source\":\"ExampleCRM\"}}"},

	{"batch of two: hash given", TTE_WEB, NULL, TTE_UNSET, "Purchase", "purchase-SO-10003",
		INT64CONST(1795190400000000),
		"{\"user\":{\"email\":\"5DF943BFBFE279B58CB1529925288D98E63D15C7E4928782AFB2B1973B5CAB4F\",\"ip\":\"203.0.113.50\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/checkout/thank-you?order=SO-10003\"},"
		"\"properties\":{\"currency\":\"USD\",\"value\":\"10.00\",\"order_id\":\"SO-10003\",\"contents\":[]}}",
		"{\"event\":\"Purchase\",\"event_time\":1795190400,\"event_id\":\"purchase-SO-10003\",\"user\":{"
		"\"email\":\"5df943bfbfe279b58cb1529925288d98e63d15c7e4928782afb2b1973b5cab4f\",\"ip\":\"203.0.113.50\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/checkout/thank-you?order=SO-10003\"},"
	"\"properties\":{\"currency\":\"USD\",\"value\":10.0,\"order_id\":\"SO-10003\"}}"},

	{"batch of two: view", TTE_WEB, NULL, TTE_UNSET, "ViewContent", "vc-81aa",
		INT64CONST(1795190290000000),
		"{\"user\":{\"ttclid\":\"E.C.P.example-click-id-0001\",\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\","
		"\"ip\":\"2001:0db8:1111:000a:00b0:0000:0000:0200\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/p/1001?ttclid=E.C.P.example-click-id-0001\"},"
		"\"properties\":{\"currency\":\"USD\",\"contents\":[{\"content_id\":\"1001\",\"price\":\"49.90\",\"quantity\":1}]}}",
		"{\"event\":\"ViewContent\",\"event_time\":1795190290,\"event_id\":\"vc-81aa\",\"user\":{"
		"\"ttclid\":\"E.C.P.example-click-id-0001\",\"ttp\":\"01JEXAMPLETTPCOOKIE00000001\","
		"\"ip\":\"2001:0db8:1111:000a:00b0:0000:0000:0200\",\"user_agent\":\"" UA "\"},"
		"\"page\":{\"url\":\"https://shop.example.com/p/1001?ttclid=E.C.P.example-click-id-0001\"},"
		"\"properties\":{\"content_type\":\"product\",\"content_ids\":[\"1001\"],"
		"\"contents\":[{\"content_id\":\"1001\",\"price\":49.9,\"quantity\":1}],"
	"\"num_items\":1,\"currency\":\"USD\",\"value\":49.9}}"}
};

/* The element of data[] as the worker posts it. */
static const char *
element(const TteRendered *r)
{
	TteStored	stored = tte_stored(r);
	StringInfoData out;

	if (r->verdict != TTE_EVENT_READY)
		return psprintf("\"%s %s\"", r->reason, r->detail ? r->detail : "");
	initStringInfo(&out);
	return tte_wire_event(&out, &stored, false) ? out.data : "\"it is broken\"";
}

static TteRendered *
render_example(const Example *x, bool ascii, bool hash)
{
	TteSourceRules rules = rules_of(x->source);
	TteEvent   *event;

	rules.calling_code = x->calling_code;
	rules.hash_on_enqueue = hash;
	event = begin(&rules, x->event, x->id, x->fields, ascii);
	tte_event_time(event, x->usec, true);
	tte_event_limited_data_use(event, x->limited_data_use);
	return tte_event_finish(event, "unused", NOW);
}

static void
test_examples(void)
{
	for (int i = 0; i < lengthof(examples); i++)
	{
		const Example *x = &examples[i];

		check_json(x->what, element(render_example(x, false, false)), x->expected);
		check_json("the same in ASCII", element(render_example(x, true, false)), x->expected);
		check_json("the same, hashed at once", element(render_example(x, false, true)), x->expected);
	}
}

/* The body of a request with one event that is stored like this. */
static const char *
body_of(const char *event_id, int64 event_time, const char *payload, const char *user_data)
{
	TteStored	stored = {"Lead", event_time, event_id, payload, strlen(payload), user_data, user_data ? strlen(user_data) : 0};
	StringInfoData out;

	initStringInfo(&out);
	tte_wire_open(&out, "web", "C\"1", NULL);
	if (!tte_wire_event(&out, &stored, true))
		appendStringInfoString(&out, "unreadable");
	tte_wire_close(&out);
	return out.data;
}

#define HEAD "{\"event_source\":\"web\",\"event_source_id\":\"C\\\"1\",\"data\":["
#define SECOND INT64CONST(1000000)

static void
test_bodies(void)
{
	StringInfoData out;

	check_text("body", NULL, body_of("L1", 7 * SECOND, "{\"page\":{}}", "{\"email\":\"alice_abc@gmail.com\"}"),
			   HEAD "{\"event\":\"Lead\",\"event_time\":7,\"event_id\":\"L1\",\"page\":{},\"user\":{\"email\":\"" HEX64_LOWER "\"}}]}");
	check_text("body, no user", NULL, body_of("L1", 8 * SECOND - 1, "{\"page\":{}}", NULL),
			   HEAD "{\"event\":\"Lead\",\"event_time\":7,\"event_id\":\"L1\",\"page\":{}}]}");
	check_text("body, nothing but a user", NULL, body_of("L1", 7 * SECOND, "{}", "{\"email\":\"alice_abc@gmail.com\"}"),
			   HEAD "{\"event\":\"Lead\",\"event_time\":7,\"event_id\":\"L1\",\"user\":{\"email\":\"" HEX64_LOWER "\"}}]}");
	check_text("body, an id with marks, before 1970", NULL, body_of("a\"b\\", -1, "{}", NULL),
			   HEAD "{\"event\":\"Lead\",\"event_time\":-1,\"event_id\":\"a\\\"b\\\\\"}]}");
	check_text("body, unreadable user leaves nothing", NULL, body_of("L1", 0, "{}", "{\"email\":"), HEAD "unreadable]}");
	check_text("body, unreadable payload", NULL, body_of("L1", 0, "\"Lead\"", NULL), HEAD "unreadable]}");
	check_text("body, half a payload", NULL, body_of("L1", 0, "{", NULL), HEAD "unreadable]}");
	initStringInfo(&out);
	tte_wire_open(&out, "web", "C1", "TEST1");
	check_text("body, test code", NULL, out.data,
			   "{\"event_source\":\"web\",\"event_source_id\":\"C1\",\"test_event_code\":\"TEST1\",\"data\":[");
}

int
main(int argc, char **argv)
{
	test_examples();
	test_bodies();
	return tap_end();
}
