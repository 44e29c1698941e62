-- The Pixel's side: what a page has to contain so that the browser reports the same event as the database.

CREATE FUNCTION tiktok_internal.script(code text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	safe text := replace(replace(replace(code, '<', '\u003c'), '>', '\u003e'), '&', '\u0026');
BEGIN
	-- line ends in a script, though not in JSON; no other encoding can hold them
	IF getdatabaseencoding() = 'UTF8' THEN
		safe := replace(replace(safe, chr(8232), '\u2028'), chr(8233), '\u2029');
	END IF;
	RETURN safe;
END $$;
COMMENT ON FUNCTION tiktok_internal.script(text) IS 'JSON as it may stand in a script of an HTML page';

CREATE FUNCTION tiktok_internal.web_source(source text) RETURNS tiktok.source
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	found_source tiktok.source;
BEGIN
	SELECT s.* INTO found_source FROM tiktok.source s WHERE s.id = tiktok_internal.source_id(source);
	IF found_source.event_source <> 'web' THEN
		RAISE wrong_object_type USING MESSAGE = format('event source "%s" has no Pixel', source),
			DETAIL = format('Its kind is %s.', found_source.event_source),
			HINT = 'Only sources of kind web have one.';
	END IF;
	RETURN found_source;
END $$;
COMMENT ON FUNCTION tiktok_internal.web_source(text) IS 'the row of a source that has a Pixel';

CREATE FUNCTION tiktok.pixel_base_code(source text) RETURNS text
LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	web tiktok.source := tiktok_internal.web_source(source);
BEGIN
	RETURN format($html$<script>
(function (window, document, name) {
  var queue = window[name] = window[name] || [];
  var later = function (target, method) {
    target[method] = function () { target.push([method].concat(Array.prototype.slice.call(arguments))); };
  };
  window.TiktokAnalyticsObject = name;
  queue.methods = ["page", "track", "identify", "instances", "debug", "on", "off", "once", "ready", "alias", "group",
    "enableCookie", "disableCookie", "holdConsent", "revokeConsent", "grantConsent"];
  queue.setAndDefer = later;
  queue.methods.forEach(function (method) { later(queue, method); });
  queue.instance = function (code) {
    var one = queue._i[code] || [];
    queue.methods.forEach(function (method) { later(one, method); });
    return one;
  };
  queue.load = function (code, options) {
    var url = "https://analytics.tiktok.com/i18n/pixel/events.js";
    var script = document.createElement("script");
    var first = document.getElementsByTagName("script")[0];
    queue._i = queue._i || {};
    queue._i[code] = [];
    queue._i[code]._u = url;
    queue._t = queue._t || {};
    queue._t[code] = +new Date();
    queue._o = queue._o || {};
    queue._o[code] = options || {};
    script.async = true;
    script.src = url + "?sdkid=" + encodeURIComponent(code) + "&lib=" + name;
    first.parentNode.insertBefore(script, first);
  };
%s  queue.load(%s);
  queue.page();
})(window, document, "ttq");
</script>$html$,
		CASE WHEN web.consent = 'required' THEN '  queue.holdConsent();' || chr(10) ELSE '' END,
		tiktok_internal.script(to_json(web.event_source_id)::text));
END $$;
COMMENT ON FUNCTION tiktok.pixel_base_code(text) IS 'what the head of every page contains to load the source''s Pixel; with consent required, it waits for ttq.grantConsent()';

CREATE FUNCTION tiktok_internal.pixel_identity(source text, user_data json) RETURNS json
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	-- an event that needs nothing but its identifiers, hashed as every other; the click id lets it pass without any
	hashed jsonb := tiktok.preview(source, 'Contact', 'identify', user_data => user_data::jsonb,
		page => '{"url": "https://example.com/?ttclid=identify"}', consent => true) -> 'user';
BEGIN
	RETURN json_strip_nulls(json_build_object(
		'email', CASE WHEN jsonb_typeof(hashed -> 'email') = 'array' THEN hashed -> 'email' -> 0 ELSE hashed -> 'email' END,
		'phone_number', CASE WHEN jsonb_typeof(hashed -> 'phone') = 'array' THEN hashed -> 'phone' -> 0 ELSE hashed -> 'phone' END,
		'external_id', CASE WHEN jsonb_typeof(hashed -> 'external_id') = 'array' THEN hashed -> 'external_id' -> 0 ELSE hashed -> 'external_id' END));
-- not every identifier can be shown in a database that is not in UTF8
EXCEPTION WHEN untranslatable_character THEN
	RETURN '{}';
END $$;
COMMENT ON FUNCTION tiktok_internal.pixel_identity(text, json) IS 'the argument of ttq.identify: the first of each kind, hashed';

CREATE FUNCTION tiktok.pixel_event(source text, event text, event_id text, user_data jsonb DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	web tiktok.source := tiktok_internal.web_source(source);
	final_event text := CASE WHEN web.rename_legacy_events THEN tiktok_internal.current_name(event) ELSE event END;
	recorded record;
	identity json;
BEGIN
	SELECT e.payload, i.user_data, d.status INTO recorded
	FROM tiktok.event e LEFT JOIN tiktok.identity i ON i.id = e.id LEFT JOIN tiktok.delivery d ON d.id = e.id
	WHERE e.event_id = pixel_event.event_id AND e.event = final_event AND e.source_id = web.id AND e.test_code IS NULL;
	IF NOT FOUND THEN
		RAISE no_data_found USING MESSAGE = format('event "%s" with this event_id is not recorded', final_event),
			HINT = 'The page shows what the database has recorded: record the event first, in this transaction or an earlier one.';
	END IF;
	-- what the database does not send, the browser shall not send either
	IF recorded.payload IS NULL OR recorded.status IN ('suppressed', 'discarded') THEN
		RETURN '';
	END IF;
	identity := coalesce(user_data::json, recorded.user_data);
	IF identity IS NOT NULL THEN
		identity := tiktok_internal.pixel_identity(source, identity);
	END IF;
	RETURN CASE WHEN coalesce(identity::text, '{}') = '{}' THEN '' ELSE format('ttq.identify(%s);' || chr(10), tiktok_internal.script(identity::text)) END
		|| format('ttq.track(%s, %s, %s);', tiktok_internal.script(to_json(final_event)::text),
			tiktok_internal.script(coalesce(recorded.payload -> 'properties', '{}')::text),
			tiktok_internal.script(format('{"event_id":%s}', to_json(event_id))));
END $$;
COMMENT ON FUNCTION tiktok.pixel_event(text, text, text, jsonb) IS 'the calls of ttq.identify and ttq.track that report a recorded event from the browser under the same name, properties and event_id; empty when the event is not sent';
