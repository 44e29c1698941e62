-- Triggers on replicated rows: on a hub the events of its shards, on a shard the statuses of its events (docs/scale-out.md). They fire
-- only in apply workers and table synchronization. A row that arrives a second time, as after a failover, is not stored again.

CREATE FUNCTION tiktok_internal.wake_worker() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tte_sql_wake_worker';
COMMENT ON FUNCTION tiktok_internal.wake_worker() IS 'makes the worker read the queue when this transaction commits';

CREATE FUNCTION tiktok_internal.free_key(id bigint) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tte_sql_free_key';
COMMENT ON FUNCTION tiktok_internal.free_key(bigint) IS 'if the event is final and was never sent, deletes its status, and returns true: then its key may be given to another event';

CREATE FUNCTION tiktok_internal.event_arrives() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	known bigint;
BEGIN
	-- the queue is in the order of this server's transactions
	NEW.xid := pg_current_xact_id();
	PERFORM tiktok_internal.wake_worker();
	-- written such that the planner, even without statistics, can use the index of the unique key only
	SELECT e.id INTO known FROM tiktok.event e
	WHERE e.event_id = NEW.event_id AND (e.event, e.source_id, e.test_code) IS NOT DISTINCT FROM (NEW.event, NEW.source_id, NEW.test_code);
	IF known IS NULL THEN
		RETURN NEW;
	ELSIF known = NEW.id THEN
		RETURN NULL;
	END IF;
	IF tiktok_internal.free_key(known) THEN
		DELETE FROM tiktok.event e WHERE e.id = known;
		RETURN NEW;
	END IF;
	RAISE WARNING 'tiktok_events: event % is not sent: event % of the same source has the same event_id', NEW.id, known
		USING HINT = 'The event_ids of all shards must differ.';
	DELETE FROM tiktok.identity i WHERE i.id = NEW.id;
	INSERT INTO tiktok.delivery (id, status, reason, at) VALUES (NEW.id, 'invalid', 'duplicate', clock_timestamp()) ON CONFLICT (id) DO NOTHING;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION tiktok_internal.event_arrives() IS 'puts an event of a shard into the queue, unless it is there already; another event with the same key is refused (invalid, duplicate)';

CREATE FUNCTION tiktok_internal.identity_arrives() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF EXISTS (SELECT FROM tiktok.delivery d WHERE d.id = NEW.id) OR EXISTS (SELECT FROM tiktok.identity i WHERE i.id = NEW.id) THEN
		RETURN NULL;
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION tiktok_internal.identity_arrives() IS 'stores the identifiers of an event of a shard, unless it is final or has them already';

CREATE FUNCTION tiktok_internal.delivery_arrives() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- a hub that was recovered to an earlier state may not know that the event was delivered
	IF EXISTS (SELECT FROM tiktok.delivery d WHERE d.id = NEW.id AND d.status = 'delivered') THEN
		RETURN NULL;
	END IF;
	DELETE FROM tiktok.delivery d WHERE d.id = NEW.id;
	IF NEW.status NOT IN ('rejected', 'uncertain') THEN
		-- The hub may be faster than the transaction that recorded the event, which becomes visible here only when a synchronous standby
		-- has it too. Inserting the key of its identifiers waits for that transaction.
		IF NOT EXISTS (SELECT FROM tiktok.event e WHERE e.id = NEW.id) THEN
			INSERT INTO tiktok.identity VALUES (NEW.id, 'null') ON CONFLICT (id) DO NOTHING;
		END IF;
		DELETE FROM tiktok.identity i WHERE i.id = NEW.id;
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION tiktok_internal.delivery_arrives() IS 'stores the status that an event of this shard has on the hub, unless it is delivered already, and deletes the identifiers of a final one';

CREATE TRIGGER replicated BEFORE INSERT ON tiktok.event FOR EACH ROW EXECUTE FUNCTION tiktok_internal.event_arrives();
CREATE TRIGGER replicated BEFORE INSERT ON tiktok.identity FOR EACH ROW EXECUTE FUNCTION tiktok_internal.identity_arrives();
CREATE TRIGGER replicated BEFORE INSERT ON tiktok.delivery FOR EACH ROW EXECUTE FUNCTION tiktok_internal.delivery_arrives();
ALTER TABLE tiktok.event ENABLE REPLICA TRIGGER replicated;
ALTER TABLE tiktok.identity ENABLE REPLICA TRIGGER replicated;
-- The worker's own insertions would fire it, too (session_replication_role = replica). Enabled on shards only, whose worker inserts none.
ALTER TABLE tiktok.delivery DISABLE TRIGGER replicated;
