-- Ids in the order of numbers: a list of consumers is read from the index alone, page after page,
-- and not from rows that lie wherever their hashes put them.
create unique index consumer_name on consumer (number, cid, sealed_id);
drop index consumer_number;
