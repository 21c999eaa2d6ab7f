"""Lua scripts: what Redis (6.2 and later) or Valkey does atomically for us.

An entry and its lease lie in one slot of a cluster. Times are milliseconds. Leases are held by replica id. Scripts up
to `RENEW_LEASE` run in batches: `BATCH` defines `call` and `publish(channel, message)` for them, and `as_of(entry)`,
which is nil for what does not begin like an entry, and `is_moved(entry)`: quotes within its texts are escaped. Decoding the whole entry instead took a sixth of the time of `READ_OR_LEASE`.

The clock of Redis may be set back, and expiry is kept as a moment. So no script believes in a time that is further ahead
than it can lawfully be: a lease or a pause is cut to its length, a permit to one burst and one interval.

Nor does one believe what another program wrote: a value of another type is removed, and what is no number is none.
"""

from typing import Final

TOLERANT_CALL: Final = """
local function call(command, key, ...)
  local result = redis.pcall(command, key, ...)
  if type(result) ~= 'table' or not result.err then
    return result
  end
  if string.find(tostring(result.err), 'WRONGTYPE', 1, true) then
    redis.call('DEL', key)
  end
  return redis.call(command, key, ...)
end
"""
"""Defines `call(command, key, ...)`: as `redis.call`, but a key of another type is removed first."""

_BUDGET: Final = """
local longest_pause = 3600000000
local function read(value, otherwise)
  local number = tonumber(value or otherwise)
  return number == number and number or otherwise
end
local function end_of_pause(now, quiet, pause)
  local ended, length = string.match(pause or '', '^(%d+):(%d+)$')
  length = math.min(ended == quiet and read(length, longest_pause) or longest_pause, longest_pause)
  return math.min(read(quiet, 0), now + length), length
end
"""
"""Defines `read(value, otherwise)`, which also replaces NaN, and `end_of_pause`: its end and length, in microseconds.

A `Retry-After` counts as an hour at most. So long is a pause of an earlier version at most, which has no length.
"""

READ_OR_LEASE: Final = """
-- KEYS: entry, lease. ARGV: replica id, lease time, the oldest `asOf` that needs no fetch, the replica's own `asOf`, the
-- latest plausible `asOf`. Returns the entry, unless it is implausible, or too old and not newer than the replica's. One
-- from before a move is never new enough, and returned in any case, so that the replica hears of the move. Returns besides
-- 0 if the lease is ours, -1 if no fetch is needed, else how long it is another's. It may be ours already, by a command
-- whose answer came too late.
local held = call('GET', KEYS[1])
if held then
  local known = as_of(held)
  if known and known > tonumber(ARGV[5]) then
    held = false
  elseif not (known and is_moved(held)) then
    if known and known >= tonumber(ARGV[3]) then
      return {held, -1}
    elseif known and known <= tonumber(ARGV[4]) then
      held = false
    end
  end
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return {held, 0}
end
if call('GET', KEYS[2]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  return {held, 0}
end
local left = redis.call('PTTL', KEYS[2])
if left < 0 or left > tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  left = tonumber(ARGV[2])
end
return {held, math.max(left, 1)}
"""

AS_NEWER: Final = """
local newer = 1
local held = call('GET', KEYS[1])
if held then
  local known = as_of(held)
  if known and known >= tonumber(ARGV[3]) and known <= tonumber(ARGV[6]) then
    newer = 0
  end
end
if call('GET', KEYS[2]) == ARGV[1] then
  redis.call('DEL', KEYS[2])
end
"""

STORE_AND_RELEASE: Final = f"""
-- KEYS: entry, lease. ARGV: replica id, the entry, its `asOf`, its time to live, the channel, the latest plausible `asOf`.
-- Releases the lease. Stores and publishes the entry unless a newer, plausible one is there. Returns 1 if it did.
{AS_NEWER}
if newer == 1 then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
  publish(ARGV[5], '{{"sender":"' .. ARGV[1] .. '","entry":' .. ARGV[2] .. '}}')
end
return newer
"""

RELEASE_AND_NOTIFY: Final = """
-- KEYS: lease. ARGV: replica id, a message, the channel. Releases the lease and publishes the message, if it is ours.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
  publish(ARGV[3], ARGV[2])
end
return 1
"""

RENEW_LEASE: Final = """
-- KEYS: lease. ARGV: replica id, lease time. Returns 1 if the lease is still ours.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
"""

BATCH: Final = (
    TOLERANT_CALL
    + """
-- KEYS: those of all runs of a script, one after another. ARGV: the number of runs, the arguments of each, a mark. Returns
-- each run's result or error, and the mark: a refusal of one does not affect the others. They publish one message, a line for each.
local channel
local lines = {}
local function publish(name, message)
  channel = name
  lines[#lines + 1] = message
end
local function as_of(entry)
  return tonumber(string.match(entry, '^{"type":"%%l+","key":"%%d+","asOf":(%%d+)[,}]'))
end
local function is_moved(entry)
  return string.find(entry, ',"movedAt":', 1, true)
end
local function run(KEYS, ARGV)
%s
end
local runs = tonumber(ARGV[1])
local keys, arguments = #KEYS / runs, (#ARGV - 2) / runs
local found = {}
for number = 1, runs do
  local succeeded, result = pcall(run,
    {unpack(KEYS, (number - 1) * keys + 1, number * keys)},
    {unpack(ARGV, (number - 1) * arguments + 2, number * arguments + 1)})
  if not succeeded and type(result) == 'string' then
    result = redis.error_reply(result)
  end
  found[number] = result
end
if channel then
  redis.call('PUBLISH', channel, table.concat(lines, '\\n'))
end
found[runs + 1] = ARGV[#ARGV]
return found
"""
)

SINGLE: Final = """
-- ARGV: the arguments of a script that runs alone, then a mark. Returns its result and the mark.
local function run(KEYS, ARGV)
%s
end
return {run(KEYS, {unpack(ARGV, 1, #ARGV - 1)}), ARGV[#ARGV]}
"""

TAKE_PERMITS: Final = (
    TOLERANT_CALL
    + _BUDGET
    + """
-- KEYS: budget (a hash), active replicas (a sorted set). ARGV: replica id, interval and tolerance in microseconds,
-- permits wanted, 1 for a census. GCRA (ITU-T I.371). Returns how many permits are granted, the microseconds until the next
-- one, and how many replicas were counted within the last second, or 0 without a census: it takes as long as the rest. After
-- a pause the interval is longer, and returns to normal. `next` is lawfully ahead by the longest interval and the
-- tolerance, which is twice ours if we leave headroom.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local asking = 0
if ARGV[5] == '1' then
  call('ZADD', KEYS[2], now, ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - 1000000)
  redis.call('PEXPIRE', KEYS[2], 2000)
  asking = redis.call('ZCOUNT', KEYS[2], '-inf', now)
end
local state = call('HMGET', KEYS[1], 'next', 'quiet', 'slowed', 'factor', 'pause')
local quiet, length = end_of_pause(now, state[2], state[5])
if quiet > now then
  if quiet < read(state[2], 0) then
    local moment = string.format('%.0f', quiet)
    local pause = moment .. ':' .. string.format('%.0f', length)
    redis.call('HSET', KEYS[1], 'quiet', moment, 'slowed', moment, 'pause', pause)
  end
  return {0, quiet - now, asking}
end
local elapsed = math.max(0, now - read(state[3], now))
local slowest = math.max(1, math.min(64, read(state[4], 1)))
local interval = ARGV[2] * math.max(1, slowest * 0.5 ^ (elapsed / 10000000))
local due = math.max(read(state[1], 0), now)
local latest = now + 2 * ARGV[3] + ARGV[2] * slowest
if due > latest then
  due = latest
  redis.call('HSET', KEYS[1], 'next', string.format('%.0f', due))
end
local granted = math.min(tonumber(ARGV[4]), math.floor((now + ARGV[3] - due) / interval) + 1)
if granted <= 0 then
  return {0, math.ceil(due - ARGV[3] - now), asking}
end
due = due + granted * interval
local is_new = redis.call('HSET', KEYS[1], 'next', string.format('%.0f', due))
if is_new == 1 or asking > 0 then
  redis.call('PEXPIRE', KEYS[1], 3600000)
end
return {granted, math.max(0, math.ceil(due - ARGV[3] - now)), asking}
"""
)

PAUSE: Final = (
    TOLERANT_CALL
    + _BUDGET
    + """
-- KEYS: budget. ARGV: microseconds. Grants no permit for so long; after that the rate is halved for a while. `pause` holds
-- the end of the pause and its length, by which its end is cut if the clock goes back. Returns 1.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local state = call('HMGET', KEYS[1], 'quiet', 'slowed', 'factor', 'pause')
local before = end_of_pause(now, state[1], state[4])
local quiet = math.max(before, now + ARGV[1])
local moment = string.format('%.0f', quiet)
local pause = moment .. ':' .. string.format('%.0f', quiet - now)
redis.call('HSET', KEYS[1], 'quiet', moment, 'slowed', moment, 'pause', pause)
redis.call('PEXPIRE', KEYS[1], 3600000 + math.ceil((quiet - now) / 1000))
if before <= now then
  local elapsed = math.max(0, now - read(state[2], now))
  local factor = math.max(1, math.min(64, read(state[3], 1)) * 0.5 ^ (elapsed / 10000000))
  redis.call('HSET', KEYS[1], 'factor', math.min(factor * 2, 64))
end
return 1
"""
)

READ_OR_LEASE_WITH_PERMIT: Final = f"""
-- KEYS: those of READ_OR_LEASE, then of TAKE_PERMITS. ARGV: those of READ_OR_LEASE, then interval, tolerance, census.
-- Returns what READ_OR_LEASE returns and, if the lease is ours, what TAKE_PERMITS returns for one permit.
local function read_or_lease(KEYS, ARGV)
{READ_OR_LEASE}
end
local function take(KEYS, ARGV)
{TAKE_PERMITS}
end
local found = read_or_lease({{KEYS[1], KEYS[2]}}, {{ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]}})
if found[2] ~= 0 then
  return found
end
local taken = take({{KEYS[3], KEYS[4]}}, {{ARGV[1], ARGV[6], ARGV[7], 1, ARGV[8]}})
return {{found[1], 0, taken[1], taken[2], taken[3]}}
"""
