-- Raises the cancel flag of a run (rule 19).
--
-- KEYS[1] state     string
-- KEYS[2] meta      hash: seq, run, ended, cancel
--
-- ARGV[1] run       newest run that the caller has seen, or "" for none
-- ARGV[2] ttl_ms    how long the flag of a job is kept that has no meta and no TTL of its own
--
-- Returns 1, or 0 if the job is gone or another run has begun: the flag was not meant for that one.

if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
local run = redis.call('HGET', KEYS[2], 'run')
if (run or '') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[2], 'cancel', run or '1')
if redis.call('PTTL', KEYS[2]) < 0 then
  local ttl_ms = redis.call('PTTL', KEYS[1])
  redis.call('PEXPIRE', KEYS[2], ttl_ms > 0 and ttl_ms or ARGV[2])
end
return 1
