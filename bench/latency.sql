-- One event per transaction, the queue idle in between; prints the clock just before each commit.
SELECT format($$WITH t AS (SELECT tiktok.track('shop', 'ViewContent', 'l%s', user_data => '{"external_id": "%s"}',
	page => '{"url": "https://shop.example.com/"}')) SELECT extract(epoch FROM clock_timestamp()) FROM t$$, n, n),
	'SELECT pg_sleep(0.02) WHERE pg_sleep(0.02) IS NULL'
FROM generate_series(1, 500) n \gexec
