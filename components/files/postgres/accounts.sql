-- Makes the app's accounts and its database where they are missing, and sets every password. May run at any time, on the primary.
\set ON_ERROR_STOP on
\set VERBOSITY terse
-- No password in the log, not even that of a statement that fails.
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
SET client_min_messages = 'warning';
SET password_encryption = 'scram-sha-256';
-- A standby that can not log in until its password is set must not hold up the setting of its password.
SET synchronous_commit = 'local';
SELECT pg_advisory_lock(hashtext('switchyard accounts'));

\set owner `cat /etc/patroni/owner`
\set login `cat /etc/patroni/login`
\set app `cat /etc/patroni/app`
\set monitor_login `cat /etc/patroni/monitor-login`
\set monitor `cat /etc/patroni/monitor`
\set superuser `cat /etc/patroni/superuser`
\set replication `cat /etc/patroni/replication`
\set rewind `cat /etc/patroni/rewind`
-- Of the generation before, which is let in until it is revoked; empty where there is none.
\set login_before `cat /etc/patroni/login-before`
\set monitor_before `cat /etc/patroni/monitor-before`
-- Separated by commas.
\set revoked `cat /etc/patroni/revoked`

SELECT format('CREATE ROLE %I NOLOGIN', role)
FROM unnest(ARRAY[:'owner', :'login']) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
GROUP BY role \gexec

SELECT format('ALTER ROLE %I LOGIN PASSWORD %L VALID UNTIL ''infinity''', :'login', :'app') \gexec

-- Later generations log in under a name of their own and act as the owner from the first statement on.
SELECT format(statement, :'owner', :'login')
FROM unnest(ARRAY['GRANT %1$I TO %2$I', 'ALTER ROLE %2$I SET role = %1$I']) AS statement
WHERE :'owner' <> :'login' \gexec

-- Later generations, where a rotation was taken back, may log in for one more day: their clients are being replaced now.
SELECT format('ALTER ROLE %I VALID UNTIL %L', rolname, now() + interval '1 day')
FROM pg_roles
WHERE rolcanlogin AND rolname NOT IN (:'login', :'login_before') AND coalesce(rolvaliduntil, 'infinity') = 'infinity'
  AND (rolname = :'owner' OR (starts_with(rolname, :'owner' || '_') AND substr(rolname, length(:'owner') + 2) ~ '^[0-9]+$')) \gexec

SELECT format('CREATE DATABASE %I OWNER %I', :'owner', :'owner')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'owner') \gexec

-- What exporters log in as: it sees figures and no rows, and takes few of the connections.
SELECT format('CREATE ROLE %I NOLOGIN', :'monitor_login')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'monitor_login') \gexec
SELECT format('ALTER ROLE %I LOGIN PASSWORD %L VALID UNTIL ''infinity'' CONNECTION LIMIT 3', :'monitor_login', :'monitor') \gexec
SELECT format('GRANT pg_monitor TO %I', :'monitor_login') \gexec
SELECT format('ALTER ROLE %I VALID UNTIL %L', rolname, now() + interval '1 day')
FROM pg_roles
WHERE rolname ~ '^monitor(-[0-9]+)?$' AND rolname NOT IN (:'monitor_login', :'monitor_before') AND coalesce(rolvaliduntil, 'infinity') = 'infinity' \gexec

-- Patroni makes these after its bootstrap; over older data they only get their passwords.
SELECT format('ALTER ROLE %I PASSWORD %L', rolname, password)
FROM (VALUES ('postgres', :'superuser'), ('replicator', :'replication'), ('rewind', :'rewind')) AS patroni(name, password)
JOIN pg_roles ON rolname = name \gexec

-- Nobody logs in as those that are revoked, and whoever has is cut off. The first of them may own the database all the same.
SELECT format('ALTER ROLE %I NOLOGIN', rolname)
FROM pg_roles
WHERE rolcanlogin AND rolname = ANY (string_to_array(:'revoked', ',')) \gexec
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY (string_to_array(:'revoked', ','));
