"""Lua scripts: what Redis (6.2 and later) or Valkey does atomically for us.

An entry and its lease lie in one slot of a cluster. Times are milliseconds. Leases are held by replica id. Scripts up
to `RENEW_LEASE` run in batches: `BATCH` defines `call` and `publish(channel, message)` for them, and `as_of(entry)`,
which is nil for what does not begin like an entry, and `is_moved(entry)`: quotes within its texts are escaped. Decoding the whole entry instead took a sixth of the time of `READ_OR_LEASE`.

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
-- KEYS: those of all runs of a script, one after another. ARGV: the arguments of each, the number of runs, a mark. Returns
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
local runs = tonumber(ARGV[#ARGV - 1])
local keys, arguments = #KEYS / runs, (#ARGV - 2) / runs
local found = {}
for number = 1, runs do
  local names, words = KEYS, ARGV
  if runs > 1 then
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
