-- Takes in one update of a job: stores the state, renews its TTL and pushes it, or does none of it (rules 11 to 16, 19
-- and 20). The order and fencing are those of store/rules.py, the splicing that of protocol/messages.py.
--
-- KEYS[1] state     string: the JSON that was stored last, without history
-- KEYS[2] meta      hash: seq, run (newest), ended (the run that had its terminal state), cancel (flag of `run`), and
--                   of `run` what add.lua keeps there: added, words, words_seq
-- KEYS[3] history   string: the newest history as JSON
-- KEYS[4] parts     hash: what each worker has contributed to `run`
-- KEYS[5] index     sorted set: job ids by seq; left out in a Cluster, where it is in another slot
--
-- ARGV[1] body      the state as a JSON object without seq, run and history
-- ARGV[2] history   JSON, or "" where this update brings none
-- ARGV[3] run       fencing number of the reporter, or "" for an update that is taken as it comes
-- ARGV[4] start     "1" to begin a new run
-- ARGV[5] terminal  "1" if the status is terminal
-- ARGV[6] ttl_ms    how long this state is kept
-- ARGV[7] keep_ms   how long any state may be kept; what the index has from before that is gone
-- ARGV[8] channel
-- ARGV[9] job_id
--
-- Returns {seq, run or 0, outcome, cancel requested (0 or 1), time of the store in microseconds, added, words, words_seq}.

local body, history, run = ARGV[1], ARGV[2], tonumber(ARGV[3])
local start, terminal, ttl_ms = ARGV[4] == '1', ARGV[5] == '1', ARGV[6]
local channel, job_id = ARGV[8], ARGV[9]
local parts, index = KEYS[4], KEYS[5]

-- Microseconds since 1970 stay exact in a double until the year 2255, but tostring() would write 1.7e+15.
local function digits(number)
  return string.format('%.0f', number)
end

local meta = redis.call('HMGET', KEYS[2], 'seq', 'run', 'ended', 'cancel', 'added', 'words', 'words_seq')
local last, newest, ended, cancel = tonumber(meta[1]) or 0, tonumber(meta[2]), tonumber(meta[3]), meta[4]
local added, words, words_seq = meta[5] or '0', meta[6] or '', tonumber(meta[7]) or 0
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])

if not start and run and newest and run <= newest then
  local refused = run < newest and 'superseded' or run == ended and 'ended'
  if refused then
    return {last, newest, refused, cancel and 1 or 0, now_us, added, words, words_seq}
  end
end

-- Redis does not roll back. What could fail halfway is tried before the first write: (Redis 7) a user who may write some
-- of these names and not others. An index of another type, lack of memory and a read-only server show at the first
-- write, which is that of the index: after it, a script may go over the limit of memory.
if redis.acl_check_cmd then
  if not (redis.acl_check_cmd('SET', KEYS[1], '', 'PX', '1') and redis.acl_check_cmd('HSET', KEYS[2], 'seq', '1')
      and redis.acl_check_cmd('HDEL', KEYS[2], 'cancel') and redis.acl_check_cmd('PEXPIRE', KEYS[3], '1')
      and redis.acl_check_cmd('PEXPIRE', parts, '1') and redis.acl_check_cmd('DEL', parts)
      and redis.acl_check_cmd('SET', KEYS[3], '') and redis.acl_check_cmd('DEL', KEYS[3])
      and (not index or redis.acl_check_cmd('ZADD', index, '1', '') and redis.acl_check_cmd('ZREM', index, ''))
      and redis.acl_check_cmd('PUBLISH', channel, '')) then
    return redis.error_reply('NOPERM this user may not write all that publishing a state needs')
  end
end

local seq = math.max(now_us, last + 1)
if start then
  -- The run is the seq of its first state, so that it increases even if the store forgot everything.
  run = seq
end

if index then
  redis.call('ZADD', index, digits(seq), job_id)
end
local state = '{"seq":' .. digits(seq) .. ','
if run then
  state = state .. '"run":' .. digits(run) .. ','
end
state = state .. string.sub(body, 2, -2)
redis.call('SET', KEYS[1], state .. '}', 'PX', ttl_ms)

if run and (start or run ~= newest) then
  redis.call('HDEL', KEYS[2], 'ended', 'cancel', 'added', 'words', 'words_seq')
  redis.call('DEL', parts)
  newest, cancel, added, words, words_seq = run, false, '0', '', 0
end
if run and terminal then
  redis.call('HSET', KEYS[2], 'seq', digits(seq), 'run', digits(run), 'ended', digits(run))
elseif run then
  redis.call('HSET', KEYS[2], 'seq', digits(seq), 'run', digits(run))
else
  redis.call('HSET', KEYS[2], 'seq', digits(seq))
end
redis.call('PEXPIRE', KEYS[2], ttl_ms)
redis.call('PEXPIRE', parts, ttl_ms)

if history ~= '' then
  redis.call('SET', KEYS[3], history, 'PX', ttl_ms)
elseif start then
  redis.call('DEL', KEYS[3])
else
  redis.call('PEXPIRE', KEYS[3], ttl_ms)
end

if index and last == 0 then
  -- A job that comes takes some of those along that are long gone, so that an index which nobody lists stays small.
  local gone = redis.call('ZRANGEBYSCORE', index, '-inf', digits(now_us - 1000 * tonumber(ARGV[7])), 'LIMIT', 0, 16)
  if #gone > 0 then
    redis.call('ZREM', index, unpack(gone))
  end
end

redis.call('PUBLISH', channel, state .. (history ~= '' and ',"history":' .. history or '') .. '}')
return {seq, newest or 0, 'accepted', cancel and 1 or 0, now_us, added, words, words_seq}
