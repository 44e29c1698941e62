-- Bulk inserts into three tables: microseconds per row.
SELECT nextval('order_number') * :n AS base \gset
CREATE TEMP TABLE sample AS SELECT (sample_order(:base + g)).* FROM generate_series(1, :n) g;
DO $$
DECLARE
	t timestamptz;
	name text;
	n bigint := (SELECT count(*) FROM sample);
BEGIN
	FOREACH name IN ARRAY '{orders_plain,orders,orders_plpgsql}'::text[] LOOP
		t := clock_timestamp();
		EXECUTE format('INSERT INTO %I SELECT * FROM sample', name);
		RAISE NOTICE '% %', CASE name WHEN 'orders_plain' THEN 'plain' WHEN 'orders' THEN 'trigger' ELSE 'plpgsql' END,
			extract(epoch FROM clock_timestamp() - t) * 1e6 / n;
	END LOOP;
END $$;
SELECT tiktok.wait('1 min') \g /dev/null
