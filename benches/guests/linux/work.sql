-- What applications do: rows inserted in a transaction, an index, a join, groups, an update, a deletion.
PRAGMA cache_size = 1000;
CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, bus INTEGER, size REAL);
CREATE TABLE bus (id INTEGER PRIMARY KEY, name TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
    INSERT INTO part SELECT i, 'part ' || hex(i * 7919 % 10007), i % 97, i / 3.0 FROM n;
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 96) INSERT INTO bus SELECT i, 'bus ' || i FROM n;
COMMIT;
CREATE INDEX by_name ON part (name);
SELECT bus.name, count(*), round(sum(size), 3) FROM part JOIN bus ON part.bus = bus.id GROUP BY bus.id ORDER BY 3 DESC LIMIT 3;
SELECT count(*) FROM part a JOIN part b ON a.name = b.name AND a.id < b.id;
UPDATE part SET size = size + 1 WHERE name LIKE 'part 3%';
DELETE FROM part WHERE bus % 3 = 1;
SELECT count(*), round(sum(size), 3), max(name) FROM part;
