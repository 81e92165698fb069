-- Replaces what one worker has contributed to a job that another process owns (rule 33). The same as ``Shared.add`` in
-- store/rules.py. The state is not touched: its owner learns of this in its next receipt.
--
-- KEYS[1] meta      hash: seq, run (newest), ended, cancel, added (sum of all parts), words (JSON), words_seq (a counter)
-- KEYS[2] parts     hash: a number for each part
--
-- ARGV[1] part      name of the worker
-- ARGV[2] n         all that it has done
-- ARGV[3] words     its contribution as JSON where it says something, or ""
-- ARGV[4] run       fencing number, or "" to join the newest run
-- ARGV[5] ttl_ms    how long this is kept unless the owner renews it
--
-- Returns {seq, run or 0, outcome, cancel requested (0 or 1), added, words, words_seq}.

local run = tonumber(ARGV[4])
local meta = redis.call('HMGET', KEYS[1], 'seq', 'run', 'ended', 'cancel', 'added')
local seq, newest, ended, cancel = tonumber(meta[1]) or 0, tonumber(meta[2]), tonumber(meta[3]), meta[4]

if run and newest and run <= newest then
  local refused = run < newest and 'superseded' or run == ended and 'ended'
  if refused then
    return {seq, newest, refused, cancel and 1 or 0, '0', '', 0}
  end
end

local before = tonumber(redis.call('HGET', KEYS[2], ARGV[1])) or 0
-- Where the parts were evicted, and the sum was not, each worker says again what it has done: that counts once.
local sum = redis.call('EXISTS', KEYS[2]) == 1 and tonumber(meta[5]) or 0
local added = sum - before + tonumber(ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
added = string.format('%.17g', added)
redis.call('HSET', KEYS[1], 'added', added)
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], 'words', ARGV[3])
  redis.call('HINCRBY', KEYS[1], 'words_seq', 1)
end
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < 0 then
    redis.call('PEXPIRE', key, ARGV[5])
  end
end
local words = redis.call('HMGET', KEYS[1], 'words', 'words_seq')
return {seq, newest or 0, 'accepted', cancel and 1 or 0, added, words[1] or '', tonumber(words[2]) or 0}
