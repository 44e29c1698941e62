/* What CREATE EXTENSION tiktok_events makes. Joined by make from the numbered files of schema/. */
\echo Use "CREATE EXTENSION tiktok_events" to load this file. \quit

CREATE SCHEMA tiktok;
COMMENT ON SCHEMA tiktok IS 'reports orders and leads to TikTok''s Events API';
CREATE SCHEMA tiktok_internal;
COMMENT ON SCHEMA tiktok_internal IS 'what functions and views of schema tiktok are made of: nothing here need be called, and all of it may change';
