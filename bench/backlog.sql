-- A backlog of :n orders, in transactions of 1000 rows.
SELECT format('INSERT INTO orders SELECT (sample_order(1000000000 + g)).* FROM generate_series(%s, %s) g', a, least(a + 999, :n))
FROM generate_series(1, :n, 1000) a \gexec
