"""Lua scripts: what Redis (6.2 and later) or Valkey does atomically for us.

An entry and its lease lie in one slot of a cluster. Times are milliseconds. Leases are held by replica id. Scripts up
to `RENEW_LEASE` run in batches: `BATCH` defines `publish(channel, message)` for them.

Each instruction delays all that Redis does. A command takes 5 to 20 thousand, an argument or a field of a hash one,
`tonumber` and `%d` two, `%.0f` and another text of an entry's length five. So an argument is compared by a difference,
for which Lua converts it in one thousand, and a whole number is given to a command as it is: Redis writes it in digits.
Redis 7.2.0 to 7.2.4 write some as `2e+8` (https://github.com/redis/redis/issues/13113). So a sum that `HINCRBY` goes on
with is written by `%.0f`.

The clock of Redis may be set back, and expiry is kept as a moment. So no script believes in a time that is further ahead
than it can lawfully be: a lease or a pause is cut to its length, a permit to one burst and one interval (`lua_budget`).

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

AS_OF: Final = """string.match(held, '^{"type":"%l+","key":"%d+","asOf":(%d+)[,}]')"""
"""The digits of the `asOf` of `held`, nil for what does not begin like an entry.

Decoding the whole entry instead took a sixth of the time of `READ_OR_LEASE`. Quotes within its texts are escaped, so
`,"movedAt":` is a mark wherever it is.
"""

READ_OR_LEASE_FUNCTION: Final = (
    TOLERANT_CALL
    + f"""
-- Returns the entry, unless it is implausible, or too old and not newer than the replica's (`mine` is the `asOf` of that).
-- One from before a move is never new enough, and returned in any case, so that the replica hears of the move. Returns
-- besides 0 if the lease is ours, -1 if no fetch is needed, else how long it is another's. It may be ours already, by a
-- command whose answer came too late.
local function read_or_lease(entry, lease, replica, lease_ms, oldest, mine, latest)
  local held = call('GET', entry)
  local known = held and tonumber({AS_OF})
  if known and known - latest > 0 then
    held = false
  elseif known and not string.find(held, ',"movedAt":', 1, true) then
    if known - oldest >= 0 then
      return held, -1
    elseif known - mine <= 0 then
      held = false
    end
  end
  if redis.call('SET', lease, replica, 'NX', 'PX', lease_ms) then
    return held, 0
  end
  if call('GET', lease) == replica then
    redis.call('PEXPIRE', lease, lease_ms)
    return held, 0
  end
  local left = redis.call('PTTL', lease)
  if left < 0 or left - lease_ms > 0 then
    redis.call('PEXPIRE', lease, lease_ms)
    left = tonumber(lease_ms)
  end
  return held, math.max(left, 1)
end
"""
)
"""Defines `read_or_lease(entry, lease, replica, lease_ms, oldest, mine, latest)`."""

READ_OR_LEASE: Final = f"""
-- KEYS: entry, lease. ARGV: replica id, lease time, the oldest `asOf` that needs no fetch, the replica's own `asOf`, the
-- latest plausible `asOf`. Returns what `read_or_lease` returns.
{READ_OR_LEASE_FUNCTION}
return {{read_or_lease(KEYS[1], KEYS[2], unpack(ARGV, 1, 5))}}
"""

AS_NEWER: Final = f"""
local held, holder = unpack(redis.call('MGET', KEYS[1], KEYS[2]))
local known = held and {AS_OF}
local is_newer = not (known and known - ARGV[3] >= 0 and known - ARGV[6] <= 0)
if holder == ARGV[1] then
  redis.call('DEL', KEYS[2])
end
"""
"""Defines `is_newer`, and releases the lease. A value of another type is none to `MGET`, and replaced by `SET`."""

STORE_AND_RELEASE: Final = f"""
-- KEYS: entry, lease. ARGV: replica id, the entry, its `asOf`, its time to live, the channel, the latest plausible `asOf`.
-- Releases the lease. Stores and publishes the entry unless a newer, plausible one is there. Returns 1 if it did.
{AS_NEWER}
if not is_newer then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
publish(ARGV[5], '{{"sender":"' .. ARGV[1] .. '","entry":' .. ARGV[2] .. '}}')
return 1
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

BATCH: Final = """
-- KEYS: those of all runs of a script, one after another. ARGV: the arguments of each, the number of runs, a mark. Returns
-- each run's result or error, and the mark: a refusal of one does not affect the others. They publish one message, a line for each.
local channel, lines
local function publish(name, message)
  channel, lines = name, lines or {}
  lines[#lines + 1] = message
end
local function run(KEYS, ARGV)
%s
end
local found, runs = {}, ARGV[#ARGV - 1] + 0
for number = 1, runs do
  local names, words = KEYS, ARGV
  if runs > 1 then
    local keys, arguments = #KEYS / runs, (#ARGV - 2) / runs
    names = {unpack(KEYS, (number - 1) * keys + 1, number * keys)}
    words = {unpack(ARGV, (number - 1) * arguments + 1, number * arguments)}
  end
  local succeeded, result = pcall(run, names, words)
  if not succeeded and type(result) == 'string' then
    result = redis.error_reply(result)
  end
  found[number] = result
end
if channel then
  redis.call('PUBLISH', channel, lines[2] and table.concat(lines, '\\n') or lines[1])
end
found[runs + 1] = ARGV[#ARGV]
return found
"""

SINGLE: Final = """
-- ARGV: the arguments of a script that runs alone, then a mark. Returns its result and the mark.
local function run(KEYS, ARGV)
%s
end
return {run(KEYS, {unpack(ARGV, 1, #ARGV - 1)}), ARGV[#ARGV]}
"""
